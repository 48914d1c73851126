"""Blocks of scores in float32, and what can be told from them: on processors with NumPy, on a GPU with PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
T = TypeVar("T")
R = TypeVar("R")

BYTE = 255
"""the most that fits into one"""


class Told(NamedTuple):
    """Of one side of a block, captions or photos."""

    above: Ints
    """(n,) how many scores are above its limit for certain"""
    doubtful: tuple[Ints, Ints]
    """rows and columns (p,) of the scores that are too near to the limit to tell"""


class Products(Protocol):
    block: tuple[int, int]
    """captions and photos that are multiplied at a time"""

    def tell(
        self, rows: slice, columns: slice, true: NDArray[np.float64], best: NDArray[np.float64]
    ) -> tuple[Told, Told]:
        """What the captions `rows` and the photos `columns` score, beside the captions' limits `true` (rows,) and the
        photos' `best` (columns,). A caption's score with its own photo counts as nothing."""
        ...

    def each(self, work: Callable[[T], R], items: list[T]) -> list[R]:
        """`work` of all items, in order, several at the same time where that is quicker."""
        ...


def products(xt: NDArray[np.float32], xb: NDArray[np.float32], owner: Ints, error: float) -> Products:
    """On the GPU, where a model has been brought there already, else on the processors."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return GpuProducts(xt, xb, owner, error, "cuda")
    return CpuProducts(xt, xb, owner, error)


class CpuProducts:
    """`error` is how far off a float32 score may be."""

    block = BYTE, 8 * BYTE

    def __init__(self, xt: NDArray[np.float32], xb: NDArray[np.float32], owner: Ints, error: float) -> None:
        self.xt, self.xb, self.owner, self.error = xt, xb, owner, error

    def tell(
        self, rows: slice, columns: slice, true: NDArray[np.float64], best: NDArray[np.float64]
    ) -> tuple[Told, Told]:
        scores = self.xt[rows] @ self.xb[columns].T
        scores[own_places(self.owner, rows, columns)] = -np.inf
        return self._side(scores, true[:, None], 1), self._side(scores, best, 0)

    def _side(self, scores: NDArray[np.float32], limit: NDArray[np.float64], axis: int) -> Told:
        high, low = (limit + self.error).astype(np.float32), (limit - self.error).astype(np.float32)
        above, near = scores > high, scores >= low
        certain = count(above, axis)
        np.logical_xor(above, near, out=near)
        i, j = np.divmod(np.flatnonzero(near), scores.shape[1])
        return Told(certain, (i, j))

    def each(self, work: Callable[[T], R], items: list[T]) -> list[R]:
        from threadpoolctl import threadpool_limits

        # Processors take blocks of their own; a product shared out over all would have each wait for the others.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(_cores()) as pool:
            return list(pool.map(work, items))


class GpuProducts:
    """The same in PyTorch; `device` holds all vectors."""

    block = 4096, 16384

    def __init__(
        self, xt: NDArray[np.float32], xb: NDArray[np.float32], owner: Ints, error: float, device: str
    ) -> None:
        import torch

        self.owner, self.error = owner, error
        self.xt, self.xb = (torch.tensor(x, device=device) for x in (xt, xb))

    def tell(
        self, rows: slice, columns: slice, true: NDArray[np.float64], best: NDArray[np.float64]
    ) -> tuple[Told, Told]:
        import torch

        # TensorFloat-32 keeps ten bits of a factor, which the bound knows nothing of.
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            scores = self.xt[rows] @ self.xb[columns].T
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        i, j = (torch.tensor(place, device=scores.device) for place in own_places(self.owner, rows, columns))
        scores[i, j] = -torch.inf
        return self._side(scores, true[:, None], 1), self._side(scores, best[None, :], 0)

    def _side(self, scores: Any, limit: NDArray[np.float64], axis: int) -> Told:
        import torch

        high, low = (
            torch.tensor((limit + shift).astype(np.float32), device=scores.device)
            for shift in (self.error, -self.error)
        )
        above, near = scores > high, scores >= low
        i, j = torch.nonzero(above ^ near, as_tuple=True)
        return Told(above.sum(axis).cpu().numpy(), (i.cpu().numpy(), j.cpu().numpy()))

    def each(self, work: Callable[[T], R], items: list[T]) -> list[R]:
        return [work(item) for item in items]


def own_places(owner: Ints, rows: slice, columns: slice) -> tuple[Ints, Ints]:
    """Where in a block captions meet their own photos: rows and columns (p,)."""
    photo = owner[rows] - columns.start
    inside = np.flatnonzero((photo >= 0) & (photo < columns.stop - columns.start))
    return inside, photo[inside]


def count(flags: NDArray[np.bool_], axis: int) -> Ints:
    """`flags.sum(axis)` as sums of bytes, eight at a time: a few times as fast as NumPy's own."""
    counts: Ints
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
