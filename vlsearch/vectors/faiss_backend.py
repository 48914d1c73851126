"""Search over the parts of an index with FAISS. See `backend.Backend` for the contract."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.vectors import gpu
from vlsearch.vectors.recipes import exact_up_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.part import Part

log = logging.getLogger(__name__)

FEW = 1000
"""so many allowed ids are looked up in a set, more in a bitmap"""
SCATTERED = 4
"""so many times as long takes a vector that is read alone, with those around it passed over"""


class FaissBackend:
    """What is in the parts of an index, each id in one of them."""

    def __init__(self, d: int, parts: Sequence[Part]) -> None:
        self.dim, self.parts = d, [part for part in parts if part.count]
        self.count = sum(part.count for part in self.parts)

    def search(
        self, xq: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        xq = np.ascontiguousarray(xq, np.float32)
        if k < 1 or not self.parts or not len(xq) or (allowed is not None and not len(allowed)):
            return np.empty((len(xq), 0), np.float32), np.empty((len(xq), 0), np.int64)
        if allowed is None and gpu.pays(self.count, len(xq), k) and self._gpus is not None:
            return self._gpus.search(xq, k)
        options: dict[str, Any] = {}
        if allowed is not None:
            options = {
                "selector": selector(allowed),
                "share": min(1.0, len(allowed) / self.count),
                "exact": len(allowed) <= exact_up_to() // SCATTERED,
            }
        found = [part.search(xq, k, **options) for part in self.parts]
        D, I = found[0]  # noqa: E741
        if len(found) > 1:
            D, I = (np.concatenate(both, axis=1) for both in zip(*found, strict=True))  # noqa: E741
            order = np.lexsort((I, -D), axis=1)[:, :k]
            D, I = np.take_along_axis(D, order, axis=1), np.take_along_axis(I, order, axis=1)  # noqa: E741
        filled = int((I >= 0).sum(axis=1).min())
        return D[:, :filled], I[:, :filled]

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = np.asarray(ids, np.int64)
        found, known = np.empty((len(ids), self.dim), np.float32), np.zeros(len(ids), bool)
        for part in self.parts:
            places = part.places_of(ids)
            here = places >= 0
            found[here] = part.codes(places[here])
            known |= here
        if not known.all():
            raise KeyError(f"the index does not hold id {ids[~known][0]}")
        return found

    @cached_property
    def _gpus(self) -> gpu.GpuSearch | None:
        try:
            return gpu.GpuSearch(self)
        except RuntimeError as error:
            log.warning("searching without the GPU: %s", str(error).splitlines()[0])
            return None

    def ids(self) -> NDArray[np.int64]:
        """All ids (n,), ascending in each part."""
        return np.concatenate([np.empty(0, np.int64), *(part.ids for part in self.parts)])


def selector(allowed: NDArray[np.int64]) -> Any:
    """FAISS's selector of ids (n,), ascending."""
    import faiss

    if len(allowed) <= FEW:
        return faiss.IDSelectorBatch(np.ascontiguousarray(allowed, np.int64))
    bits = np.zeros(int(allowed[-1]) + 1, bool)
    bits[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))  # type: ignore[call-arg, arg-type]
