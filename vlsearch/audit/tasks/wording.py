"""All captions in one wording: as they are written, or perturbed under one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import lookup, perturb
from vlsearch.errors import UsageError

Progress = Callable[[str, int, int], None]

_A_STEP = 500


@dataclass(frozen=True)
class Wording:
    texts: tuple[str, ...]
    changed: NDArray[np.bool_]
    """(M,) False for those that the perturbation cannot change"""


def as_written(texts: Sequence[str]) -> Wording:
    return Wording(tuple(texts), np.ones(len(texts), np.bool_))


def reworded(
    texts: Sequence[str],
    name: str,
    seeds: int,
    tokenizer: str,
    known: Mapping[tuple[str, int], Wording] | None,
    progress: Progress,
) -> list[Wording]:
    """`texts` under each seed, once where a perturbation has no randomness; taken from `known` where that is given."""
    chosen = lookup(name)
    seeds_of_name = range(seeds if chosen.random else 1)
    if known is not None:
        missing = next((seed for seed in seeds_of_name if (name, seed) not in known), None)
        if missing is not None:
            raise UsageError(f"the saved captions have none for {name} under seed {missing}; save them anew, with it")
        return [known[name, seed] for seed in seeds_of_name]
    # Caption by caption, not seed by seed, so that the tagger's work on one serves all seeds.
    rows = []
    for n, text in enumerate(texts):
        if n % _A_STEP == 0:
            progress(name, n, len(texts))
        rows.append([perturb(text, name, seed, tokenizer) for seed in seeds_of_name])
    moved = [
        Wording(tuple(row[seed].text for row in rows), np.array([row[seed].changed for row in rows]))
        for seed in seeds_of_name
    ]
    return [Wording(run.texts, np.ones(len(texts), np.bool_)) for run in moved] if chosen.control else moved
