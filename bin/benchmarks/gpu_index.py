"""On a machine with an NVIDIA GPU: queries/s and recall@10 over 10,000,000 vectors of 512, there and on the processor.

Batches of 1,000 queries, text-like ones: vlsearch on the GPU (exact), FAISS's exact index in half precision used
directly, its CAGRA where the wheel has it, and vlsearch's inverted lists on the processor.
VLSEARCH_BENCH_COUNT has another number of vectors, VLSEARCH_BENCH_WORK a folder that keeps the library.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks import _vectors
from benchmarks._material import REPEATS

COUNT = int(os.environ.get("VLSEARCH_BENCH_COUNT", "10000000"))
K = 10


def run() -> dict[str, float]:
    import faiss

    if faiss.get_num_gpus() == 0:
        raise SystemExit("no NVIDIA GPU that FAISS can use")
    from vlsearch.library import open_library
    from vlsearch.vectors import gpu

    xq = _vectors.queries()["text-like"]
    with _vectors.filled(COUNT) as path:
        with open_library(path, write=True) as library:
            library.save_indexes()
        with open_library(path) as library:
            model = library.model(_vectors.MODEL)
            truth = _vectors.exact(xq, _vectors.live_blocks(library, model))[1]
            backend = library.index(model)
            figures = ours(gpu.GpuSearch(backend), xq, truth)
            flat = gpu.flat_on(0, _vectors.D)
            for _, xb in _vectors.live_blocks(library, model):
                flat.add(xb.astype(np.float32))
            figures |= measured("FAISS, exact, GPU", lambda: flat.search(xq, K)[1] + 1, truth)
            if hasattr(faiss, "GpuIndexCagra"):
                figures |= cagra(faiss, flat, xq, truth)
            parts = [part for part in backend.parts if part.lists > 1]
            found = lambda: merged(parts, xq)  # noqa: E731
            return figures | (measured("vlsearch, inverted lists, CPU", found, truth) if len(parts) == 1 else {})


def ours(search, xq, truth) -> dict[str, float]:
    return measured("vlsearch, exact, GPU", lambda: search.search(xq, K)[1], truth)


def cagra(faiss, flat, xq, truth) -> dict[str, float]:
    index = faiss.GpuIndexCagra(faiss.StandardGpuResources(), _vectors.D, faiss.METRIC_INNER_PRODUCT)
    index.train(flat.reconstruct_n(0, flat.ntotal))
    return measured("FAISS, CAGRA, GPU", lambda: index.search(xq, K)[1] + 1, truth)


def merged(parts, xq):
    (part,) = parts
    return part.search(xq, K)[1]


def measured(name: str, search: Callable, truth) -> dict[str, float]:
    found, taken = search(), []
    for _ in range(REPEATS):
        began = time.perf_counter()
        search()
        taken.append(time.perf_counter() - began)
    return {
        f"{name}: queries/s": len(truth) / statistics.median(taken),
        f"{name}: recall@10": _vectors.recall(found, truth),
    }
