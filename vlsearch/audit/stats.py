"""Intervals and tests for drops of recall: bootstrap and sign flips over photos, Holm's correction.

The photo is the unit throughout, because the captions of one photo are not independent: all of them are drawn, or
flipped, together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CELLS_A_BLOCK = 1 << 22
"""resamples × photos held at a time: 32 MiB of float64"""


def paired_interval(
    clean: Floats, perturbed: Floats, size: Floats, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Bootstrap percentile interval (low, high) and standard error, each (c,), of the drop of recall in c experiments.

    clean: (p, c) hits of each of p photos' queries; perturbed: (p, c, s) the same under s seeds; size: (p,) queries of
    each photo. A resample draws p photos and s seeds, with replacement; clean and perturbed hits of a photo stay
    together (paired), and so do all c experiments. Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    photos, experiments, seeds = perturbed.shape
    rng = np.random.default_rng(seed)
    table = np.concatenate([clean, perturbed.reshape(photos, experiments * seeds), size[:, None]], axis=1)
    drops = []
    for n in _blocks(resamples, photos):
        photo_counts, seed_counts = _counts(rng, n, photos), _counts(rng, n, seeds)
        sums = photo_counts @ table
        perturbed_sums = sums[:, experiments:-1].reshape(n, experiments, seeds)
        mean = np.einsum("ncs,ns->nc", perturbed_sums, seed_counts) / seeds
        drops.append((sums[:, :experiments] - mean) / sums[:, -1:])
    tail = 50 * (1 - level)
    resampled = np.concatenate(drops)
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return low, high, resampled.std(axis=0)


def detectable(standard_error: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference whose interval would leave out 0 with probability `power`, in the unit of its
    standard error: (z of level, two-sided, + z of power) times it. Cohen, Statistical Power Analysis, 1988, ch. 2."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2) + ndtri(power)) * standard_error


def sign_flip_p(difference: NDArray[np.int64], *, resamples: int = 2000, seed: int = 0) -> Floats:
    """Two-sided p of a paired permutation test, (c,), from each photo's difference (p, c) in c experiments.

    Without an effect clean and perturbed could be exchanged for any photo, so its difference is as likely with the
    other sign. p is the share of random signs whose sum is at least as far from 0 as the one observed, itself counted
    in (Phipson & Smyth, 2010), hence never 0. Integers, so that equal sums compare as equal.
    """
    rng = np.random.default_rng(seed)
    values = difference.astype(np.float64)
    observed = np.abs(values.sum(axis=0))
    extreme = np.zeros(values.shape[1])
    for n in _blocks(resamples, len(values)):
        signs = rng.integers(0, 2, size=(n, len(values)), dtype=np.int8) * 2.0 - 1.0
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
