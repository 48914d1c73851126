"""Exact ranks of captions among photos and of photos among captions, in blocks: nothing is sorted, no matrix kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.products import Products, count, products
from vlsearch.audit.scores import error_bound, exact, pair_scores, scorable

Ints = NDArray[np.int64]
Block = tuple[slice, slice]

MANY = 64
"""a block with more doubtful scores than one in so many is computed exactly as a whole"""


@dataclass(frozen=True)
class Ranks:
    """Of nq queries: `rank` (nq,) int64 from 1, `ties` (nq,) int64 competitors with exactly the true one's score."""

    rank: Ints
    ties: Ints


def ranks(
    xt: NDArray[np.float32],
    xb: NDArray[np.float32],
    owner: Ints,
    same: Ints | None = None,
    *,
    captions_a_block: int | None = None,
    photos_a_block: int | None = None,
    on: Products | None = None,
) -> tuple[Ranks, Ranks]:
    """Ranks (text to image, image to text), from one pass over the scores of M captions and N photos.

    xt: (M, d) captions, unit rows; xb: (N, d) photos, unit rows; owner: (M,) each caption's row of xb. same: (M,)
    equal for captions that are one text, and so have equal rows; the photos of each are right answers to all of them.
    rank = 1 + the competitors with a score at or above the true one's. The true score of a caption is the best of its
    own photos', its competitors are all others; of a photo it is the best of its own captions'. Own ones never compete
    with each other, and the rank is where the first of them stands. Image-to-text ranks are of the photos with
    captions, in their order in xb.
    Blocks are multiplied in float32 (`on` a GPU or processors), whose error has a bound; scores nearer to the true
    one's than that are computed again, exactly: ranks do not depend on blocks, device or the order of rows.
    Raises ValueError for rows that are longer than unit or not finite.
    """
    if not (scorable(xt) and scorable(xb)):
        raise ValueError("ranks need finite unit rows")
    scene = _Scene(xt, xb, owner, np.arange(len(xt)) if same is None else same, on)
    rows, columns = (captions_a_block or scene.on.block[0]), (photos_a_block or scene.on.block[1])
    blocks = [
        (slice(i, min(i + rows, len(xt))), slice(j, min(j + columns, len(xb))))
        for i in range(0, len(xt), rows)
        for j in range(0, len(xb), columns)
    ]
    t, i = np.zeros((2, len(xt)), np.int64), np.zeros((2, len(xb)), np.int64)
    for block, (of_captions, of_photos) in zip(blocks, scene.on.each(scene.count, blocks), strict=True):
        t[:, block[0]] += of_captions
        i[:, block[1]] += of_photos
    has = np.isfinite(scene.best)
    return Ranks(1 + t.sum(axis=0), t[1]), Ranks((1 + i.sum(axis=0))[has], i[1][has])


class _Scene:
    """Captions, photos, what belongs together, and the scores to beat."""

    def __init__(
        self, xt: NDArray[np.float32], xb: NDArray[np.float32], owner: Ints, same: Ints, on: Products | None
    ) -> None:
        self.xt, self.xb = xt, xb
        self.on = on or products(xt, xb, owner, error_bound(xt, xb))
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

    def count(self, block: Block) -> tuple[Ints, Ints]:
        """Competitors above and equal: (2, rows) of the block's captions, (2, columns) of its photos."""
        rows, columns = block
        limits = self.true[rows], self.best[columns]
        sides = self.on.tell(rows, columns, *limits)
        cells = len(limits[0]) * len(limits[1])
        if sum(len(side.doubtful[0]) for side in sides) > cells // MANY:
            return self._count_exactly(rows, columns)
        found = []
        for axis, (side, limit) in enumerate(zip(sides, limits, strict=True)):
            i, j = side.doubtful[0] + rows.start, side.doubtful[1] + columns.start
            rival = ~self._belong(i, j)
            place = side.doubtful[axis][rival]
            again = pair_scores(self.xt, self.xb, i[rival], j[rival])
            counts = np.stack([side.above, np.zeros_like(side.above)])
            np.add.at(counts[0], place[again > limit[place]], 1)
            np.add.at(counts[1], place[again == limit[place]], 1)
            found.append(counts)
        return found[0], found[1]

    def _belong(self, caption: Ints, photo: Ints) -> NDArray[np.bool_]:
        """Whether the photo is one of the caption's own."""
        pair = self.text[caption] * len(self.xb) + photo
        # The last one at or below it; for a pair below all of them that is the last of all, which is another.
        own: NDArray[np.bool_] = self.own[np.searchsorted(self.own, pair, side="right") - 1] == pair
        return own

    def _count_exactly(self, rows: slice, columns: slice) -> tuple[Ints, Ints]:
        """The same for a block of many equal scores."""
        scores = exact(self.xt[rows]) @ exact(self.xb[columns]).T
        caption, photo = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        scores[self._belong(caption[:, None], photo)] = -np.inf
        true, best = self.true[rows, None], self.best[columns]
        return (
            np.stack([count(scores > true, 1), count(scores == true, 1)]),
            np.stack([count(scores > best, 0), count(scores == best, 0)]),
        )
