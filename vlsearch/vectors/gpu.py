"""Exact search on NVIDIA GPUs, in half precision, for batches of queries; the vectors are shared out among the GPUs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.vectors.faiss_backend import FaissBackend

FROM_VECTORS = 100_000
FROM_QUERIES = 64
"""with less of either, copying the vectors does not pay"""
MOST = 2_048
"""the most that FAISS answers on a GPU"""
SPARE = 16
COPIED, RESCORED = 65_536, 64
"""vectors copied, and queries scored again, at a time"""


@cache
def gpus() -> int:
    import faiss

    return int(faiss.get_num_gpus())


def pays(count: int, queries: int, k: int) -> bool:
    return count >= FROM_VECTORS and queries >= FROM_QUERIES and 2 * k + SPARE <= MOST and gpus() > 0


def flat_on(device: int, d: int) -> Any:
    """An empty exact index of d dimensions on a GPU."""
    import faiss

    config = faiss.GpuIndexFlatConfig()
    config.device, config.useFloat16 = device, True
    return faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), d, config)


class GpuSearch:
    """A copy of all vectors of an index on the GPUs. RuntimeError when there is no room for them."""

    def __init__(self, backend: FaissBackend) -> None:
        import faiss

        self.backend, self.ids = backend, backend.ids()
        self.index = faiss.IndexShards(backend.dim, True, True)  # type: ignore[call-arg]
        self.shards = [flat_on(device, backend.dim) for device in range(gpus())]
        ends = np.linspace(0, backend.count, len(self.shards) + 1).astype(int).tolist()
        for shard, begin, end in zip(self.shards, ends, ends[1:], strict=False):
            for start in range(begin, end, COPIED):
                shard.add(backend.vectors(self.ids[start : min(start + COPIED, end)]))
            self.index.add_shard(shard)

    def search(self, xq: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `Backend.search` without a filter. A GPU multiplies in half precision: what it finds, with some to spare,
        is scored again, so that answers equal those of the processor up to ties."""
        k = min(k, len(self.ids))
        D, I = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)  # noqa: E741
        _, rows = self.index.search(xq, min(2 * k + SPARE, len(self.ids)))
        for start in range(0, len(xq), RESCORED):
            part = slice(start, start + RESCORED)
            near = self.ids[rows[part]]
            xb = self.backend.vectors(near.ravel()).reshape(*near.shape, -1)
            scores = np.einsum("qnd,qd->qn", xb, xq[part])
            order = np.lexsort((near, -scores), axis=1)[:, :k]
            D[part] = np.take_along_axis(scores, order, axis=1)
            I[part] = np.take_along_axis(near, order, axis=1)
        return D, I
