"""Perturbations that put tokens into random order: all of them, those of some parts of speech, or groups of three."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vlsearch.audit.perturb.draws import Draw
from vlsearch.audit.perturb.tags import ADJECTIVES, NOUNS
from vlsearch.audit.perturb.words import Parsed


def shuffle(caption: Parsed, draw: Draw) -> list[str] | None:
    """All tokens in random order, each order equally likely; None when every order reads the same."""
    return _among(caption, [range(len(caption.tokens))], draw)


def shuffle_nouns_adjectives(caption: Parsed, draw: Draw) -> list[str] | None:
    """The nouns in random order where the nouns stood, the adjectives where the adjectives stood (ARO's
    shuffle_nouns_and_adj); None when neither are two different words."""
    return _among(caption, [_places(caption, NOUNS), _places(caption, ADJECTIVES)], draw)


def shuffle_rest(caption: Parsed, draw: Draw) -> list[str] | None:
    """All tokens that are neither noun nor adjective in random order where these stood (ARO's
    shuffle_allbut_nouns_and_adj); None when these are not two different words."""
    fixed = NOUNS | ADJECTIVES
    return _among(caption, [[i for i, tag in enumerate(caption.tags) if tag not in fixed]], draw)


def shuffle_within_trigrams(caption: Parsed, draw: Draw) -> list[str] | None:
    """Each three consecutive tokens in random order among themselves, a shorter rest at the end as well (ARO's, from
    O'Connor and Andreas 2021); None when each group is one word repeated."""
    return _among(caption, _trigrams(caption), draw)


def shuffle_trigrams(caption: Parsed, draw: Draw) -> list[str] | None:
    """The same groups in random order, each kept as it is; None when every order of them reads the same."""
    groups = _trigrams(caption)
    # Groups that differ can still read the same in any order, when all that tells them apart is the length of the last.
    if len({caption.keys[i.start : i.stop] for i in groups}) < 2 or len(set(caption.keys)) < 2:
        return None
    ranks = draw(len(groups))
    order = sorted(range(len(groups)), key=ranks.__getitem__)
    return [caption.tokens[i] for group in order for i in groups[group]]


def _among(caption: Parsed, groups: Collection[Sequence[int]], draw: Draw) -> list[str] | None:
    """The tokens at the places of each group in random order among themselves, the groups apart from each other."""
    if all(len({caption.keys[i] for i in group}) < 2 for group in groups):
        return None
    ranks = draw(len(caption.tokens))
    tokens = list(caption.tokens)
    for group in groups:
        for place, source in zip(group, sorted(group, key=ranks.__getitem__), strict=True):
            tokens[place] = caption.tokens[source]
    return tokens


def _places(caption: Parsed, tags: frozenset[str]) -> list[int]:
    return [i for i, tag in enumerate(caption.tags) if tag in tags]


def _trigrams(caption: Parsed) -> list[range]:
    n = len(caption.tokens)
    return [range(start, min(start + 3, n)) for start in range(0, n, 3)]
