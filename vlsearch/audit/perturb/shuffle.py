"""shuffle: all words change places at random."""

from __future__ import annotations

from collections.abc import Sequence

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.words import keys


def shuffle(tokens: Sequence[str], draw: Draw) -> list[str] | None:
    """The tokens in random order, each order equally likely; None when every order reads the same."""
    if len(set(keys(tokens))) < 2:
        return None
    ranks = draw(len(tokens))
    return [tokens[i] for i in sorted(range(len(tokens)), key=ranks.__getitem__)]
