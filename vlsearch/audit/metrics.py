"""Exact ranks of task A in blocks, and the figures made of them: Recall@k, MRR, median rank, chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

# Scores are exact. A product of matrices sums in an order that depends on the shapes and on where a row stands, so in
# floating point two equal vectors may get scores that differ in the last bit, and a tie is lost or a rank changes with
# the block size. Rounded to multiples of 2**-26, though, the coordinates of unit rows have products that are multiples
# of 2**-52 and sums of at most 2: float64 holds all of these without rounding, whatever the order. float16 vectors are
# multiples of 2**-24 and lose nothing; from float32 the scores move by about 1e-8, less than its own rounding.
_QUANTUM = 2.0**-26
_LARGEST = 2.0
"""of a row's squared length, for the sums to stay exact"""


@dataclass(frozen=True)
class Ranks:
    """Of nq queries: `rank` (nq,) int64 from 1, `ties` (nq,) int64 competitors with exactly the true one's score."""

    rank: NDArray[np.int64]
    ties: NDArray[np.int64]


def ranks(
    xt: NDArray[np.float32],
    xb: NDArray[np.float32],
    owner: NDArray[np.int64],
    *,
    captions_a_block: int = 1024,
    photos_a_block: int = 4096,
) -> tuple[Ranks, Ranks]:
    """Ranks (text to image, image to text), from one pass over the scores of M captions and N photos.

    xt: (M, d) captions, unit rows; xb: (N, d) photos, unit rows; owner: (M,) each caption's row of xb.
    rank = 1 + the competitors with a score at or above the true one's. A caption's competitors are all photos but its
    own. A photo's are the captions of all other photos, its true score is the best of its own captions': these never
    compete with each other, and the rank is where the first of them stands. Image-to-text ranks are of the photos with
    captions, in their order in xb. Memory: one block of scores, never the N × M matrix.
    Raises ValueError for rows that are longer than unit or not finite.
    """
    if not (_fits(xt) and _fits(xb)):
        raise ValueError("ranks need finite unit rows")
    photos, captions = len(xb), len(xt)
    true = np.empty(captions)
    for i in range(0, captions, captions_a_block):
        block = slice(i, i + captions_a_block)
        true[block] = (exact(xt[block]) * exact(xb[owner[block]])).sum(axis=1)
    best = np.full(photos, -np.inf)
    np.maximum.at(best, owner, true)

    t_above, t_equal = np.zeros(captions, np.int64), np.zeros(captions, np.int64)
    i_above, i_equal = np.zeros(photos, np.int64), np.zeros(photos, np.int64)
    for j in range(0, photos, photos_a_block):
        columns = slice(j, j + photos_a_block)
        gallery = exact(xb[columns]).T
        for i in range(0, captions, captions_a_block):
            rows = slice(i, i + captions_a_block)
            scores = exact(xt[rows]) @ gallery
            t_above[rows] += np.count_nonzero(scores > true[rows, None], axis=1)
            t_equal[rows] += np.count_nonzero(scores == true[rows, None], axis=1)
            i_above[columns] += np.count_nonzero(scores > best[columns], axis=0)
            i_equal[columns] += np.count_nonzero(scores == best[columns], axis=0)

    own_best = np.bincount(owner[true == best[owner]], minlength=photos)
    t_equal -= 1
    i_equal -= own_best
    has = np.bincount(owner, minlength=photos) > 0
    return Ranks(1 + t_above + t_equal, t_equal), Ranks((1 + i_above + i_equal)[has], i_equal[has])


def exact(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit rows, rounded so that their products and sums are exact in float64, in any order and in blocks of any size:
    scores of them can be compared for equality."""
    y = x.astype(np.float64)
    y /= _QUANTUM
    np.rint(y, out=y)
    y *= _QUANTUM
    return y


def _fits(x: NDArray[np.float32]) -> bool:
    return bool(np.all(np.einsum("ij,ij->i", x, x) < _LARGEST))


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
