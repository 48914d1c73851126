"""The index as FAISS has it. The only module that imports faiss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.errors import LibraryDamaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.recipes import Recipe


class FaissBackend:
    """A FAISS index under ids of our own (IndexIDMap2). See `backend.Backend` for the contract."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def create(cls, d: int, recipe: Recipe) -> FaissBackend:
        import faiss

        index = faiss.index_factory(d, recipe.factory, faiss.METRIC_INNER_PRODUCT)
        return cls(faiss.IndexIDMap2(index))

    @classmethod
    def load(cls, data: bytes, d: int) -> FaissBackend:
        """From `dump`'s bytes. Raises LibraryDamaged when they are no index of d dimensions under ids."""
        import faiss

        try:
            index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        except (RuntimeError, MemoryError) as error:
            raise LibraryDamaged(f"not a FAISS index: {str(error).splitlines()[0]}") from error
        if not isinstance(index, faiss.IndexIDMap2) or index.d != d:
            raise LibraryDamaged(f"not an index of {d} dimensions under ids")
        return cls(index)

    def dump(self, write: Callable[[bytes], object]) -> None:
        import faiss

        failed: list[Exception] = []

        def part(data: bytes) -> None:
            try:
                write(data)
            except Exception as error:
                failed.append(error)
                raise

        try:
            writer = faiss.PyCallbackIOWriter(part)  # type: ignore[attr-defined]
            faiss.write_index(self._index, writer)
        except Exception:
            if failed:  # FAISS has made an error of its own of it
                raise failed[0] from None
            raise

    @property
    def count(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> NDArray[np.int64]:
        import faiss

        ids: NDArray[np.int64] = faiss.vector_to_array(self._index.id_map)
        return ids

    def add(self, ids: NDArray[np.int64], xb: NDArray[np.float32]) -> None:
        xb = np.ascontiguousarray(xb, dtype=np.float32)
        if not self._index.is_trained:
            self._index.train(xb)
        self._index.add_with_ids(xb, np.ascontiguousarray(ids, dtype=np.int64))

    def remove(self, ids: NDArray[np.int64]) -> None:
        import faiss

        self._index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(ids, dtype=np.int64)))

    def search(
        self, xq: NDArray[np.float32], k: int, hidden: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import faiss

        visible = self.count
        params = None
        if hidden is not None and len(hidden):
            hidden = np.intersect1d(hidden, self.ids())
            visible -= len(hidden)
            selector = faiss.IDSelectorNot(faiss.IDSelectorBatch(hidden))
            params = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        k = min(k, visible)
        if k < 1:
            return np.empty((len(xq), 0), np.float32), np.empty((len(xq), 0), np.int64)
        xq = np.ascontiguousarray(xq, dtype=np.float32)
        wanted = min(k + 1, visible)
        D, I = self._index.search(xq, wanted, params=params)  # noqa: E741
        while wanted < visible and (D[:, -1] == D[:, k - 1]).any():  # FAISS cuts through equal scores anywhere
            wanted = min(2 * wanted, visible)
            D, I = self._index.search(xq, wanted, params=params)  # noqa: E741
        order = np.lexsort((I, -D), axis=1)[:, :k]
        return np.take_along_axis(D, order, axis=1), np.take_along_axis(I, order, axis=1)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            found: NDArray[np.float32] = self._index.reconstruct_batch(np.ascontiguousarray(ids, dtype=np.int64))
        except RuntimeError as error:
            raise KeyError("an id that the index does not hold") from error
        return found
