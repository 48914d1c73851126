"""Exact ranks of task A in blocks, and the figures made of them: Recall@k, MRR, median rank, chance."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

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

BYTE = 255
"""the most that fits into one"""
PAIRS = 32
"""scored at a time: few enough for all that is made of them to stay in the cache"""


@dataclass(frozen=True)
class Ranks:
    """Of nq queries: `rank` (nq,) int64 from 1, `ties` (nq,) int64 competitors with exactly the true one's score."""

    rank: NDArray[np.int64]
    ties: NDArray[np.int64]


def ranks(
    xt: NDArray[np.float32],
    xb: NDArray[np.float32],
    owner: NDArray[np.int64],
    same: NDArray[np.int64] | None = None,
    *,
    captions_a_block: int = BYTE,
    photos_a_block: int = 8 * BYTE,
) -> tuple[Ranks, Ranks]:
    """Ranks (text to image, image to text), from one pass over the scores of M captions and N photos.

    xt: (M, d) captions, unit rows; xb: (N, d) photos, unit rows; owner: (M,) each caption's row of xb. same: (M,)
    equal for captions that are one text, and so have equal rows; the photos of each are right answers to all of them.
    rank = 1 + the competitors with a score at or above the true one's. The true score of a caption is the best of its
    own photos', its competitors are all others; of a photo it is the best of its own captions'. Own ones never compete
    with each other, and the rank is where the first of them stands. Image-to-text ranks are of the photos with
    captions, in their order in xb.
    Nothing is sorted, and a processor holds no more than a block of scores. Blocks are multiplied in float32, whose
    error has a bound; scores nearer to the true one's than that are computed again, exactly.
    Raises ValueError for rows that are longer than unit or not finite.
    """
    from threadpoolctl import threadpool_limits

    if not (_fits(xt) and _fits(xb)):
        raise ValueError("ranks need finite unit rows")
    scene = _Scene(xt, xb, owner, np.arange(len(xt)) if same is None else same)
    blocks = [
        (slice(i, min(i + captions_a_block, len(xt))), slice(j, min(j + photos_a_block, len(xb))))
        for i in range(0, len(xt), captions_a_block)
        for j in range(0, len(xb), photos_a_block)
    ]
    t, i = np.zeros((2, len(xt)), np.int64), np.zeros((2, len(xb)), np.int64)
    # Processors take blocks of their own; one product shared out over all of them would have each wait for the others.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_cores()) as pool:
        for (rows, columns), (of_captions, of_photos) in zip(blocks, pool.map(scene.count, blocks), strict=True):
            t[:, rows] += of_captions
            i[:, columns] += of_photos
    has = np.isfinite(scene.best)
    return Ranks(1 + t.sum(axis=0), t[1]), Ranks((1 + i.sum(axis=0))[has], i[1][has])


class _Scene:
    """Captions, photos, what belongs together, and the scores to beat."""

    def __init__(
        self, xt: NDArray[np.float32], xb: NDArray[np.float32], owner: NDArray[np.int64], same: NDArray[np.int64]
    ) -> None:
        self.xt, self.xb, self.owner = xt, xb, owner
        _, first, self.text = np.unique(same, return_index=True, return_inverse=True)
        self.own = np.unique(self.text * len(xb) + owner)
        """each text with each of its photos once, as one sorted number"""
        text, photo = np.divmod(self.own, len(xb))
        scores = pair_scores(xt, xb, first[text], photo)
        true = np.full(len(first), -np.inf)
        np.maximum.at(true, text, scores)
        self.true = true[self.text]
        self.best = np.full(len(xb), -np.inf)
        np.maximum.at(self.best, photo, scores)
        # A sum of d products is off by at most d * 2**-24 of what it adds up to, in any order (Higham, Accuracy and
        # Stability of Numerical Algorithms, 2002, ch. 3); the rest is what `exact` changes, and room to spare.
        d = xt.shape[1]
        self.error = (d + 2 * d**0.5 + 8) * 2.0**-24 * _longest(xt) * _longest(xb)

    def count(self, block: tuple[slice, slice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Competitors above and equal: (2, rows) of the block's captions, (2, columns) of its photos."""
        rows, columns = block
        scores = self.xt[rows] @ self.xb[columns].T
        self._hide_owners(scores, rows, columns)
        true, best = self.true[rows], self.best[columns]
        of_captions, one = _certain(scores, true[:, None], self.error, 1)
        of_photos, other = _certain(scores, best, self.error, 0)
        if np.count_nonzero(one) + np.count_nonzero(other) > scores.size // 64:
            return self._count_exactly(rows, columns)
        for found, doubtful, axis in ((of_captions, one, 0), (of_photos, other, 1)):
            at = np.divmod(np.flatnonzero(doubtful), doubtful.shape[1])
            i, j = at[0] + rows.start, at[1] + columns.start
            rival = ~self._belong(i, j)
            place, limit = at[axis][rival], (true, best)[axis][at[axis][rival]]
            again = pair_scores(self.xt, self.xb, i[rival], j[rival])
            np.add.at(found[0], place[again > limit], 1)
            np.add.at(found[1], place[again == limit], 1)
        return of_captions, of_photos

    def _hide_owners(self, scores: NDArray[Any], rows: slice, columns: slice) -> None:
        j = self.owner[rows]
        inside = np.flatnonzero((j >= columns.start) & (j < columns.stop))
        scores[inside, j[inside] - columns.start] = -np.inf

    def _belong(self, caption: NDArray[np.int64], photo: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the photo is one of the caption's own."""
        pair = self.text[caption] * len(self.xb) + photo
        # The last one at or below it; for a pair below all of them that is the last of all, which is another.
        own: NDArray[np.bool_] = self.own[np.searchsorted(self.own, pair, side="right") - 1] == pair
        return own

    def _count_exactly(self, rows: slice, columns: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same for a block of many equal scores."""
        scores = exact(self.xt[rows]) @ exact(self.xb[columns]).T
        caption, photo = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        scores[self._belong(caption[:, None], photo)] = -np.inf
        true, best = self.true[rows, None], self.best[columns]
        return (
            np.stack([_count(scores > true, 1), _count(scores == true, 1)]),
            np.stack([_count(scores > best, 0), _count(scores == best, 0)]),
        )


def _certain(
    scores: NDArray[np.float32], limit: NDArray[np.float64], error: float, axis: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Along `axis`, (2, n): how many are above `limit` for certain, and 0; and which ones float32 cannot tell."""
    above, near = scores > (limit + error).astype(np.float32), scores >= (limit - error).astype(np.float32)
    certain = _count(above, axis)
    np.logical_xor(above, near, out=near)
    return np.stack([certain, np.zeros_like(certain)]), near


def pair_scores(
    xt: NDArray[np.float32], xb: NDArray[np.float32], caption: NDArray[np.int64], photo: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(P,) exact scores of rows `caption` of xt with rows `photo` of xb, both (P,)."""
    scores = np.empty(len(caption))
    for n in range(0, len(caption), PAIRS):
        block = slice(n, n + PAIRS)
        scores[block] = np.einsum("ij,ij->i", exact(xt[caption[block]]), exact(xb[photo[block]]))
    return scores


def _count(flags: NDArray[np.bool_], axis: int) -> NDArray[np.int64]:
    """`flags.sum(axis)` as sums of bytes, eight at a time: a few times as fast as NumPy's own."""
    counts: NDArray[np.int64]
    if axis == 0 and len(flags) <= BYTE:
        counts = np.add.reduce(flags.view(np.uint8), axis=0, dtype=np.uint8).astype(np.int64)
    elif axis == 1 and flags.shape[1] % 8 == 0 and flags.shape[1] <= 8 * BYTE:
        words = np.add.reduce(flags.view(np.uint64), axis=1)
        counts = words.view(np.uint8).reshape(len(flags), 8).sum(axis=1, dtype=np.int64)
    else:
        counts = np.count_nonzero(flags, axis=axis).astype(np.int64)
    return counts


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _longest(x: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", x, x).max(initial=0.0)))


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
