"""Figures made of ranks: Recall@k, MRR, median rank, and what chance gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.ranking import Ranks as Ranks
from vlsearch.audit.ranking import ranks as ranks


def photos_of_each_text(owner: NDArray[np.int64], same: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M,) how many photos each caption is right for; `owner` and `same` as in `ranks`."""
    _, text = np.unique(same, return_inverse=True)
    pairs = np.unique(np.stack([text.reshape(-1), owner]), axis=1)
    return np.bincount(pairs[0])[text.reshape(-1)].astype(np.int64)


def texts_of_each_photo(owner: NDArray[np.int64], same: NDArray[np.int64]) -> NDArray[np.int64]:
    """(Q,) how many captions are right for each photo that has any, in the photos' order."""
    _, text = np.unique(same, return_inverse=True)
    pairs = np.unique(np.stack([text.reshape(-1), owner]), axis=1)
    counts = np.bincount(pairs[1], weights=np.bincount(text.reshape(-1))[pairs[0]])
    return counts[np.unique(owner)].astype(np.int64)


def recall_at_k(rank: NDArray[np.int64], k: int) -> float:
    """Share of queries, 0 to 1, whose true item is among the first k."""
    return float(np.mean(rank <= k))


def mrr(rank: NDArray[np.int64]) -> float:
    """Mean reciprocal rank, 0 to 1; the same to the last bit in any order of queries."""
    return math.fsum(1.0 / rank) / len(rank)


def median_rank(rank: NDArray[np.int64]) -> float:
    return float(np.median(rank))


@dataclass(frozen=True)
class Chance:
    """What a random order of the gallery gives."""

    curve: NDArray[np.float64]
    """(n,) Recall@k for k = 1 … n, n the size of the gallery; 1 beyond"""

    def at(self, k: int) -> float:
        return float(self.curve[min(k, len(self.curve)) - 1])

    @property
    def mrr(self) -> float:
        return float(np.sum(np.diff(self.curve, prepend=0.0) / np.arange(1, len(self.curve) + 1)))

    @property
    def median_rank(self) -> float:
        return float(1 + np.searchsorted(self.curve, 0.5 - 1e-12))


def chance(gallery: int, own: NDArray[np.int64]) -> Chance:
    """Chance for queries of which each has `own` (nq,) true items among `gallery` items.

    The probability that at least one of m items is among the first k of n is 1 - C(n - m, k) / C(n, k), averaged over
    the queries; for m = 1 it is k / n.
    """
    curve = np.zeros(gallery)
    drawn = np.arange(gallery)
    for m, queries in zip(*np.unique(own, return_counts=True), strict=True):
        missed = np.cumprod(np.maximum(gallery - m - drawn, 0) / (gallery - drawn))
        found = (drawn + 1) / gallery if m == 1 else 1.0 - missed
        curve += found * (queries / len(own))
    return Chance(cast("NDArray[np.float64]", curve))
