"""From the ranks of one direction to its figures: recall, drop, interval, tests, chance."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit import metrics
from vlsearch.audit.metrics import Chance, Ranks
from vlsearch.audit.report import Direction, RankSummary, Result
from vlsearch.audit.stats import detectable, holm, paired_interval, sign_flip_p


@dataclass(frozen=True)
class Side:
    """One direction: its ranks, and whose queries they are."""

    direction: Direction
    clean: Ranks
    perturbed: dict[str, list[Ranks]]
    """per perturbation, one for each distinct run: a control has a single one"""
    photo: NDArray[np.int64]
    """(nq,) which of the photos with captions a query belongs to"""
    effective: dict[str, NDArray[np.bool_]]
    """(nq,) queries that the perturbation can change"""
    chance: Chance


def results(
    side: Side, controls: AbstractSet[str], ks: Sequence[int], seeds: int, resamples: int, unperturbable: dict[str, int]
) -> list[Result]:
    """A Result for each perturbation and k; `unperturbable` counts the captions that a perturbation cannot change."""
    experiments = [(name, k) for name in side.perturbed for k in ks]
    photos = int(side.photo.max()) + 1

    def per_photo(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(side.photo, weights=hits, minlength=photos).astype(np.float64)

    clean = np.stack([per_photo(side.clean.rank <= k) for _, k in experiments], axis=1)
    perturbed = np.empty((photos, len(experiments), seeds))
    for c, (name, k) in enumerate(experiments):
        runs = side.perturbed[name]
        for s in range(seeds):
            perturbed[:, c, s] = per_photo(runs[s % len(runs)].rank <= k)
    size = per_photo(np.ones(len(side.photo), np.bool_))

    low, high, error = paired_interval(clean, perturbed, size, resamples=resamples)
    # Times the number of seeds, to keep the mean over them in integers.
    p = sign_flip_p((seeds * clean - perturbed.sum(axis=2)).astype(np.int64), resamples=resamples)
    tested = {c for c, (name, _) in enumerate(experiments) if name not in controls}
    corrected: dict[int, float] = {}
    for k in ks:
        family = [c for c in sorted(tested) if experiments[c][1] == k]
        corrected.update(zip(family, holm([float(p[c]) for c in family]), strict=True))

    return [
        _result(
            side,
            name,
            k,
            control=name in controls,
            low=float(low[c]),
            high=float(high[c]),
            error=float(error[c]),
            p=float(p[c]),
            p_holm=corrected.get(c),
            unperturbable=unperturbable[name],
        )
        for c, (name, k) in enumerate(experiments)
    ]


def _result(
    side: Side,
    name: str,
    k: int,
    *,
    control: bool,
    low: float,
    high: float,
    error: float,
    p: float,
    p_holm: float | None,
    unperturbable: int,
) -> Result:
    runs = side.perturbed[name]
    # Counts of hits, pooled before they are divided: no drop is then exactly 0, not a rounding away from it.
    pooled = np.concatenate([run.rank for run in runs])
    hits = [np.count_nonzero(run.rank <= k) for run in runs]
    clean, perturbed = metrics.recall_at_k(side.clean.rank, k), metrics.recall_at_k(pooled, k)
    drop = clean - perturbed
    chance = side.chance.at(k)
    room = clean - chance
    of = side.effective[name]
    effective: tuple[float, float] | None = None
    if of.any():
        effective = (
            metrics.recall_at_k(side.clean.rank[of], k),
            metrics.recall_at_k(np.concatenate([run.rank[of] for run in runs]), k),
        )
    return Result(
        direction=side.direction,
        perturbation=name,
        control=control,
        k=k,
        clean=clean,
        perturbed=perturbed,
        drop=drop,
        low=low,
        high=high,
        relative_drop=drop / clean if clean > 0 else None,
        # A recall that is chance in exact arithmetic may miss it by a rounding.
        order_sensitivity=drop / room if room > 1e-12 else None,
        detectable=detectable(error),
        p=p,
        p_holm=p_holm,
        seed_spread=float(np.std(hits, ddof=1)) / len(side.photo) if len(runs) > 1 else None,
        unperturbable=unperturbable,
        effective_clean=effective[0] if effective else None,
        effective_perturbed=effective[1] if effective else None,
        effective_drop=effective[0] - effective[1] if effective else None,
        queries=len(side.photo),
        ties=sum(int(np.count_nonzero(run.ties)) for run in runs),
        ties_clean=int(np.count_nonzero(side.clean.ties)),
        chance=chance,
    )


def summary(side: Side, name: str) -> RankSummary:
    # Every run ranks the same queries, so pooling them weighs the seeds alike.
    pooled = np.concatenate([run.rank for run in side.perturbed[name]])
    return RankSummary(
        direction=side.direction,
        perturbation=name,
        mrr_clean=metrics.mrr(side.clean.rank),
        mrr_perturbed=metrics.mrr(pooled),
        mrr_chance=side.chance.mrr,
        median_rank_clean=metrics.median_rank(side.clean.rank),
        median_rank_perturbed=metrics.median_rank(pooled),
        median_rank_chance=side.chance.median_rank,
    )
