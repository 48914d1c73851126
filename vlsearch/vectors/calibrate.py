"""How many lists a query has to look at: measured on the library's own vectors against exact search."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlsearch.vectors.backend import Backend
    from vlsearch.vectors.part import Part

QUERIES = 128
"""of each sort"""
KS = (10, 30, 100, 300)
NEAR = 0.8
"""cosine between a vector and the query that is made from it, as between photos of one thing"""
GAP = 0.5
"""what is left of a query's cosines once it is moved as texts lie beside photos (modality gap, Liang et al. 2022)"""


class Calibration(NamedTuple):
    probes: dict[int, int]
    """k -> lists"""
    recall: float
    """recall@10 with so many, of the sort of queries where it is lowest"""


def questions(part: Part, texts: NDArray[np.float32] | None = None) -> list[NDArray[np.float32]]:
    """Sorts of queries (nq, d): near to vectors of the part; `texts` (nq, d) that are asked, or else the same queries
    with a common offset that leaves a top-1 cosine of about 0.4, as a text has it with photos."""
    rng = np.random.default_rng(0)
    own = rng.choice(part.count, min(QUERIES, part.count), replace=False)
    xb = part.codes(part.places[np.sort(own)]).astype(np.float32)
    near = unit(NEAR * xb + math.sqrt(1 - NEAR**2) * unit(rng.normal(size=xb.shape)))
    if texts is not None and len(texts):
        return [near, unit(texts[np.linspace(0, len(texts) - 1, min(QUERIES, len(texts))).astype(int)])]
    return [near, unit(GAP * near + math.sqrt(1 - GAP**2) * unit(rng.normal(size=(1, part.dim))))]


def calibrate(part: Part, asked: Sequence[NDArray[np.float32]], target: float, least: int = 1) -> Calibration:
    """The least numbers of lists, `least` and up, that reach a recall@k of `target` with half the rest as a margin.

    Exact search gives the k nearest of each query, and the lists they lie in; how far down the query's ranking of lists
    the last of them comes is the number of lists that it needs.
    """
    needed = [lists_needed(part, xq) for xq in asked]
    aim = target + (1 - target) / 2
    probes = {k: max(least, *(_quantile(ranks[:, :k], aim) for ranks in needed)) for k in KS}
    probes = {k: min(part.lists, lists) for k, lists in probes.items()}
    return Calibration(probes, min(float((ranks[:, : KS[0]] < probes[KS[0]]).mean()) for ranks in needed))


def lists_needed(part: Part, xq: NDArray[np.float32]) -> NDArray[np.int64]:
    """(nq, k) how many lists each query (nq, d) ranks before the one that holds its kth nearest, for the largest k."""
    _, I = part.search(xq, KS[-1], exact=True)  # noqa: E741
    _, order = part.index.quantizer.search(xq, part.lists)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(part.lists)[np.newaxis], axis=1)
    lists = part.lists_of(part.places_of(I.ravel())).reshape(I.shape)
    return np.take_along_axis(rank, lists, axis=1)


def milliseconds(backend: Backend, asked: Sequence[NDArray[np.float32]], k: int = 10) -> float:
    """Median of a query on one thread, the first ones left out."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        taken = []
        for xq in np.concatenate([sort[:32] for sort in asked]):
            began = time.perf_counter()
            backend.search(xq[np.newaxis], k)
            taken.append(time.perf_counter() - began)
    finally:
        faiss.omp_set_num_threads(threads)
    return 1e3 * float(np.median(taken[len(taken) // 4 :]))


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _quantile(ranks: NDArray[np.int64], part: float) -> int:
    """The least number of lists that this part of the ranks lies below."""
    ranks = np.sort(ranks, axis=None)
    return int(ranks[min(len(ranks) - 1, math.ceil(part * len(ranks)) - 1)]) + 1
