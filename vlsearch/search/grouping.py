"""Near duplicates among answers, so that each stands for all that look like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 256


def groups(vectors: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """first (n,): for each of the unit vectors (n, d), best first, the row that stands for it.

    Row by row: one that has a cosine of at least `threshold` to a row that stands for itself goes to the first such
    row, else it stands for itself. So those that stand for themselves (first[i] == i) are all less alike than that, and
    a row's group does not depend on the rows after it.
    """
    first = np.arange(len(vectors))
    heads = np.empty(0, np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        rows = first[start : start + BLOCK]
        free = np.ones(len(block), bool)
        if len(heads):
            close = block @ vectors[heads].T >= threshold
            free = ~close.any(axis=1)
            rows[~free] = heads[close.argmax(axis=1)[~free]]
        close = block @ block.T >= threshold
        for row in np.flatnonzero(free):
            if free[row]:
                rows[free & close[row]] = start + row
                free &= ~close[row]
        heads = np.append(heads, start + np.flatnonzero(rows == np.arange(start, start + len(block))))
    return first
