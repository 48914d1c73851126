"""One part of an index: an inverted file, mapped from its file or held in memory; with one list, exact search."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.part_file import empty_index, map_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

Found = tuple["NDArray[np.float32]", "NDArray[np.int64]"]


class Part:
    """Vectors under ids. `ids` (n,) ascending, `places` (n,) where each one's vector begins in `data`, in bytes.

    `probes` says how many lists a query looks at: k -> lists, as measured when the part was built.
    """

    def __init__(
        self,
        index: Any,
        data: NDArray[np.uint8],
        ids: NDArray[np.int64],
        places: NDArray[np.int64],
        probes: Mapping[int, int],
    ) -> None:
        self.index, self.data, self.ids, self.places = index, data, ids, places
        self.probes = dict(sorted(probes.items()))
        self.count, self.lists, self.dim = int(index.ntotal), int(index.nlist), int(index.d)

    @classmethod
    def open(
        cls, path: Path, d: int, *, token: str, size: int, count: int, lists: int, probes: Mapping[int, int]
    ) -> Part:
        """Map the file that has this token. LibraryDamaged, with the reason, when it is not such a file."""
        import faiss

        mapped = map_part(path, token, size, count)
        try:
            reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(mapped.data), mapped.faiss_size)  # type: ignore[attr-defined]
            index = faiss.read_index(reader)
        except (RuntimeError, MemoryError) as error:
            raise LibraryDamaged(f"{path.name} is no FAISS index: {str(error).splitlines()[0]}") from error
        if not isinstance(index, faiss.IndexIVFScalarQuantizer) or (index.d, index.ntotal, index.nlist) != (
            d,
            count,
            lists,
        ):
            raise LibraryDamaged(f"{path.name} is no index of {count} vectors of {d} dimensions in {lists} lists")
        return cls(index, mapped.data, mapped.ids, mapped.places, probes)

    @classmethod
    def in_memory(cls, d: int, pieces: Iterable[tuple[NDArray[np.int64], NDArray[np.float16]]]) -> Part:
        """One list of ids (n,) and vectors (n, d) that come in pieces."""
        import faiss

        index = empty_index(np.zeros((1, d), np.float32))
        seen = [np.empty(0, np.int64)]
        for ids, vectors in pieces:
            ids = np.ascontiguousarray(ids, np.int64)
            codes = np.ascontiguousarray(vectors, np.float16).view(np.uint8)
            index.invlists.add_entries(0, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
            seen.append(ids)
        every = np.concatenate(seen)
        index.ntotal = n = len(every)
        data = faiss.rev_swig_ptr(index.invlists.get_codes(0), n * 2 * d) if n else np.empty(0, np.uint8)
        order = np.argsort(every)
        return cls(index, data, every[order], order * (2 * d), {})

    def search(
        self,
        xq: NDArray[np.float32],
        k: int,
        *,
        selector: Any = None,
        share: float = 1.0,
        exact: bool = False,
    ) -> Found:
        """D and I (nq, min(k, count)), best first, equal scores by id; I is -1 only where there are no more.

        `selector` passes about `share` of the ids; more lists are looked at for it. `exact`: all lists are.
        """
        k = min(k, self.count)
        nprobe = self.lists if exact else min(self.lists, math.ceil(self.nprobe(k) / max(share, 1e-9)))
        return self._top(xq, k, min(k + 1, self.count), lambda xq, k: self._look(xq, k, nprobe, selector))

    def nprobe(self, k: int) -> int:
        """Lists that hold the k nearest of a query, but for the part that the recall aimed at leaves out."""
        if not self.probes:
            return self.lists
        ks = list(self.probes)
        known = ks[min(bisect.bisect_left(ks, k), len(ks) - 1)]
        return min(self.lists, math.ceil(self.probes[known] * max(1.0, k / known)))

    def places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the vectors of ids (n,) begin; -1 for an id that is not here."""
        if not self.count:
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), self.count - 1)
        places: NDArray[np.int64] = np.where(self.ids[at] == ids, self.places[at], -1)
        return places

    def codes(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """The vectors (n, d) at places (n,)."""
        if not len(places):
            return np.empty((0, self.dim), np.float16)
        windows = np.lib.stride_tricks.sliding_window_view(self.data, 2 * self.dim)
        return windows[places].view(np.float16)

    def lists_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lists (n,) in which places (n,) lie."""
        return np.searchsorted(self._starts, places, side="right") - 1

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """(nlist, d)."""
        found: NDArray[np.float32] = self.index.quantizer.reconstruct_n(0, self.lists)
        return found

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        sizes = np.array([self.index.invlists.list_size(n) for n in range(self.lists)], np.int64)
        spans = sizes * (2 * self.dim + 8)
        first: NDArray[np.int64] = self.places.min() + np.cumsum(spans) - spans
        return first

    def _look(self, xq: NDArray[np.float32], k: int, nprobe: int, selector: Any) -> Found:
        """FAISS's answer from so many lists; from all, for queries that fewer than k are found for."""
        import faiss

        params = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)  # type: ignore[call-arg]
        D, I = self.index.search(xq, k, params=params)  # noqa: E741
        if nprobe < self.lists and (lacking := I[:, -1] < 0).any():
            D[lacking], I[lacking] = self._look(xq[lacking], k, self.lists, selector)
        return D, I

    def _top(self, xq: NDArray[np.float32], k: int, wanted: int, look: Callable[..., Found]) -> Found:
        """The first k of `wanted`; more are wanted for queries whose kth score goes on beyond them, as FAISS cuts
        through equal scores anywhere."""
        D, I = look(xq, wanted)  # noqa: E741
        goes_on = (I[:, -1] >= 0) & (D[:, -1] == D[:, k - 1]) if wanted < self.count else np.zeros(len(xq), bool)
        order = np.lexsort((I, -D), axis=1)[:, :k]
        D, I = np.take_along_axis(D, order, axis=1), np.take_along_axis(I, order, axis=1)  # noqa: E741
        if goes_on.any():
            D[goes_on], I[goes_on] = self._top(xq[goes_on], k, min(2 * wanted, self.count), look)
        return D, I
