"""The search index of 1,000,000 vectors: recall@10, milliseconds a query, memory, build time, filters, overhead.

The default recipe for 512 dimensions, a mixture of 2,000 Gaussians on the sphere; recall against exact search by matrix
products, for queries drawn from the mixture and for text-like ones. One thread where milliseconds are given.
VLSEARCH_BENCH_COUNT has another number of vectors, VLSEARCH_BENCH_WORK a folder that keeps the library from run to run.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks import _vectors
from benchmarks._material import REPEATS

K = 10


def run() -> dict[str, float]:
    from vlsearch.library import open_library
    from vlsearch.optimize import optimize_index

    with _vectors.filled() as path:
        with open_library(path, write=True) as library:
            (report,) = optimize_index(library)
        print(report)
        with open_library(path) as library:
            model = library.model(_vectors.MODEL)
            figures = {
                "build, s": report.seconds,
                "mapped, MB": report.mapped / 1e6,
                "resident, MB": (report.resident or 0) / 1e6,
                "recall@10, measured at build": report.recall,
            }
            backend = library.index(model)
            for name, xq in _vectors.queries().items():
                figures |= asked(library, model, backend, name, xq)
            figures |= filtered(library, model, backend)
            figures |= overhead(library, model, backend)
    return figures


def asked(library, model, backend, name: str, xq) -> dict[str, float]:
    scores, truth = _vectors.exact(xq, _vectors.live_blocks(library, model))
    found = backend.search(xq, K)[1]
    return {
        f"{name}: recall@10": _vectors.recall(found, truth),
        f"{name}: top-1 cosine, mean": float(scores[:, 0].mean()),
        f"{name}: ms a query": one_by_one(backend, xq[:200]),
    }


def filtered(library, model, backend) -> dict[str, float]:
    """Filters that keep the photos under one folder."""
    figures: dict[str, float] = {}
    with library.snapshot() as reader:
        every = reader.all_shown("image")
    for share in (1, 10, 50):
        allowed = np.array([i for i in every.tolist() if _vectors.folder(i - 1) == f"/photos/{share}"], np.int64)
        for name, xq in _vectors.queries(200).items():
            kept = ((ids[np.isin(ids, allowed)], xb[np.isin(ids, allowed)]) for ids, xb in
                    _vectors.live_blocks(library, model))  # fmt: skip
            truth = _vectors.exact(xq, kept)[1]
            found = backend.search(xq, K, allowed)[1]
            if found.shape != (len(xq), K) or not np.isin(found, allowed).all():
                raise SystemExit(f"the filter that keeps {share} % gave {found.shape[1]} answers, or others")
            figures[f"filter {share} %, {name}: recall@10"] = _vectors.recall(found, truth)
        figures[f"filter {share} %: ms a query"] = one_by_one(backend, xq[:50], allowed)
    return figures


def one_by_one(backend, xq, allowed=None) -> float:
    """Milliseconds a query on one thread, median."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    taken = []
    for row in xq:
        began = time.perf_counter()
        backend.search(row[None], K, allowed)
        taken.append(time.perf_counter() - began)
    faiss.omp_set_num_threads(threads)
    return 1e3 * statistics.median(taken)


def overhead(library, model, backend) -> dict[str, float]:
    """Percent that the engine takes longer for a batch of 1,000 queries than FAISS's index used directly: until it has
    ids and scores of photos that are shown, and until it has paths, captions and times as well."""
    import faiss

    from vlsearch.search.engine import Engine

    (part,) = backend.parts
    params = faiss.SearchParametersIVF(nprobe=part.nprobe(K))
    xq, engine = _vectors.queries()["mixture"], Engine(library, _vectors.Known(model))

    def timed(search) -> float:
        began = time.perf_counter()
        search()
        return time.perf_counter() - began

    rounds = [
        (
            timed(lambda: part.index.search(xq, K, params=params)),
            timed(lambda: engine.nearest(xq, K)),
            timed(lambda: engine.hits(*engine.nearest(xq, K))),
        )
        for _ in range(REPEATS)
    ]
    bare, nearest, hits = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "bare FAISS, queries/s": len(xq) / bare,
        "engine over bare FAISS, 1,000 queries, %": 100 * (nearest / bare - 1),
        "engine with whole hits over bare FAISS, %": 100 * (hits / bare - 1),
    }
