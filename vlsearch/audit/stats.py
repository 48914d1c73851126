"""Intervals and tests: bootstrap and sign flips over photos, score intervals of shares, Holm's correction.

The photo is the unit throughout, because the captions of one photo are not independent: all of them are drawn, or
flipped, together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats, Floats]
"""low, high and standard error, each (c,)"""

_CELLS_A_BLOCK = 1 << 22
"""resamples × photos held at a time: 32 MiB of float64"""


def paired_interval(
    clean: Floats, perturbed: Floats, size: Floats, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """`bootstrap` interval of the drop of recall in c experiments, over photos with all their seeds.

    clean: (p, c) hits of each of p photos' queries; perturbed: (p, c, s) the same under s seeds; size: (p,) queries of
    each photo. A resample takes a photo's clean and perturbed hits together (paired), of every seed: the draws of a
    seed are independent from caption to caption, so that seeds have nothing in common that drawing them would show.
    To draw them once more, apart from the photos, makes intervals too wide (docs/statistics.md).
    """
    seeds = perturbed.shape[2]
    # Sums over the seeds, not means: hits are counts, and no drop is then exactly 0, not a rounding away from it.
    return ratio_interval(
        seeds * clean - perturbed.sum(axis=2), seeds * size, resamples=resamples, level=level, seed=seed
    )


def interval(values: Floats, *, resamples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """`bootstrap` interval of the means of `values` (q, c, s): c quantities of each of q queries under s seeds, over
    queries with all their seeds."""
    queries, _, seeds = values.shape
    size = np.full(queries, float(seeds))
    return ratio_interval(values.sum(axis=2), size, resamples=resamples, level=level, seed=seed)


def ratio_interval(
    amount: Floats, size: Floats, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """`bootstrap` interval of sum(amount) / sum(size), amount: (p, c) and size: (p,) of each photo."""

    def ratio(counts: Floats) -> Floats:
        return np.asarray((counts @ amount) / (counts @ size)[:, None])

    return bootstrap(ratio, len(size), resamples=resamples, level=level, seed=seed)


def bootstrap(
    statistic: Callable[[Floats], Floats], photos: int, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Bootstrap interval (low, high) and standard error of c statistics of `photos` photos, each (c,).

    A resample draws as many photos with replacement; `statistic` gets how often each of p was drawn in n resamples,
    (n, p), and gives (n, c); resamples for which it has no value, NaN, are left out. The interval is the expanded
    percentile interval: percentiles as far out as makes up for what a normal percentile interval lacks beside one of
    Student's t, whose errors have n - 1 below the line. For 1,000 photos that is next to nothing, for 50 a thirtieth of
    the width. Of one photo, low and high are its own statistic.
    Hesterberg, What teachers should know about the bootstrap, The American Statistician 69, 2015, section 4.
    """
    from scipy.special import ndtr, stdtrit

    rng = np.random.default_rng(seed)
    resampled = np.concatenate([statistic(_counts(rng, n, photos)) for n in _blocks(resamples, photos)])
    resampled = resampled[~np.isnan(resampled).any(axis=1)]
    widening = sqrt(photos / max(1, photos - 1))
    tail = 100 * float(ndtr(widening * stdtrit(max(1, photos - 1), (1 - level) / 2)))
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return low, high, widening * resampled.std(axis=0)


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval (low, high) of a share, `successes` of `n`; all of 0 to 1 for n = 0.

    Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from scipy.special import ndtri

    if n == 0:
        return 0.0, 1.0
    z2 = float(ndtri(0.5 + level / 2)) ** 2
    centre, half = successes + z2 / 2, sqrt(z2 * (successes * (n - successes) / n + z2 / 4))
    return max(0.0, (centre - half) / (n + z2)), min(1.0, (centre + half) / (n + z2))


def detectable(standard_error: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference whose interval would leave out 0 with probability `power`, in the unit of its
    standard error: (z of level, two-sided, + z of power) times it. Cohen, Statistical Power Analysis, 1988, ch. 2."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2) + ndtri(power)) * standard_error


def sign_flip_p(difference: NDArray[np.int64], *, resamples: int = 2000, seed: int = 0) -> Floats:
    """Two-sided p of a paired permutation test, (c,), from each photo's difference (p, c) in c experiments.

    Without an effect clean and perturbed could be exchanged for any photo, so its difference is as likely with the
    other sign. p is the share of signs whose sum is at least as far from 0 as the one observed: of all signs where
    these are no more than `resamples` (up to 10 photos for 2,000), else of random ones with the observed ones counted
    in (Phipson & Smyth, 2010), hence never 0. Integers, so that equal sums compare as equal.
    """
    values = difference.astype(np.float64)
    photos = len(values)
    observed = np.abs(values.sum(axis=0))
    if 2**photos <= resamples:
        signs = (np.arange(2**photos)[:, None] >> np.arange(photos) & 1) * 2.0 - 1.0
        return np.asarray(np.mean(np.abs(signs @ values) >= observed, axis=0), dtype=np.float64)
    rng = np.random.default_rng(seed)
    extreme = np.zeros(values.shape[1])
    for n in _blocks(resamples, photos):
        signs = rng.integers(0, 2, size=(n, photos), dtype=np.int8) * 2.0 - 1.0
        extreme += np.count_nonzero(np.abs(signs @ values) >= observed, axis=0)
    return np.asarray((1 + extreme) / (1 + resamples), dtype=np.float64)


def holm(p: Sequence[float]) -> list[float]:
    """`p` adjusted for their number, in their order. Holm, Scandinavian Journal of Statistics 6, 1979."""
    adjusted = [0.0] * len(p)
    floor = 0.0
    for position, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        floor = max(floor, min(1.0, (len(p) - position) * p[i]))
        adjusted[i] = floor
    return adjusted


def _counts(rng: np.random.Generator, n: int, items: int) -> Floats:
    """How often each of `items` is drawn in n resamples of `items` draws: (n, items)."""
    drawn = rng.integers(0, items, size=(n, items)) + np.arange(n)[:, None] * items
    return np.bincount(drawn.ravel(), minlength=n * items).reshape(n, items).astype(np.float64)


def _blocks(resamples: int, photos: int) -> Iterator[int]:
    size = max(1, _CELLS_A_BLOCK // photos)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
