"""A large library of vectors only: 512 dimensions, a mixture of 2,000 Gaussians on the sphere, fixed seed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks._material import QUICK

COUNT = int(os.environ.get("VLSEARCH_BENCH_COUNT", "100000" if QUICK else "1000000"))
"""vectors; VLSEARCH_BENCH_COUNT has another number"""
WORK = os.environ.get("VLSEARCH_BENCH_WORK")
"""a folder in which the library is kept from one run to the next; without it, it is made anew each time"""
D, CLUSTERS, PIECE = 512, 2_000, 65_536
WITHIN = 0.65
"""mean cosine of two vectors of a cluster"""
MODEL = "benchmark"


def unit(rows):
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def centres():
    return unit(np.random.default_rng(0).standard_normal((CLUSTERS, D), np.float32))


def drawn(count: int, seed: int):
    """(count, 512) unit vectors of the mixture."""
    rng = np.random.default_rng([1, seed])
    noise = unit(rng.standard_normal((count, D), np.float32))
    return unit(np.sqrt(WITHIN) * centres()[rng.integers(0, CLUSTERS, count)] + np.sqrt(1 - WITHIN) * noise)


def pieces(count: int) -> Iterator:
    """The library's vectors (n, 512) float16, as many at a time as a shard has."""
    for start in range(0, count, PIECE):
        yield drawn(min(PIECE, count - start), 1 + start // PIECE).astype(np.float16)


def queries(count: int = 1_000):
    """Drawn from the mixture, and text-like ones: the same with a common offset; top-1 cosine about 0.4."""
    xq = drawn(count, 0)
    offset = unit(np.random.default_rng(2).standard_normal((1, D), np.float32))
    return {"mixture": xq, "text-like": unit(0.5 * xq + np.sqrt(0.75) * offset)}


def folder(number: int) -> str:
    """Of photo 0, 1, 2 ...: 1 % lie in /photos/1, 10 % in /photos/10, 50 % in /photos/50."""
    rest = number % 100
    return "/photos/1" if rest == 0 else "/photos/10" if rest <= 10 else "/photos/50" if rest <= 60 else "/photos/rest"


def commit(library, model, xb, progress: Callable[[int], None] = lambda _: None) -> list[int]:
    """Store vectors (n, 512) as those of new photos; their ids."""
    from vlsearch.catalog import queries as asked
    from vlsearch.catalog.tables import Content

    with library.read() as c:
        first = asked.next_id(c, Content)
    ids = list(range(first, first + len(xb)))

    def rows(c) -> None:
        plain = {"width": 1, "height": 1, "format": "JPEG"}
        asked.add_contents(c, [{"id": i, "sha256": b"%032d" % i, **plain} for i in ids])
        paths = ({"path": path_of(i), "size": 1, "mtime_ns": 1, "content_id": i} for i in ids)
        asked.put_files(c, list(paths))

    library.commit(model, "image", ids, xb, rows)
    progress(len(ids))
    return ids


def path_of(content_id: int) -> str:
    return f"{folder(content_id - 1)}/{content_id:08d}.jpg"


@contextmanager
def filled(count: int = COUNT) -> Iterator[Path]:
    """The folder of a library of so many vectors, without an index yet when it was made just now."""
    with tempfile.TemporaryDirectory(prefix="vlsearch-bench-") as temporary:
        path = Path(WORK or temporary) / f"library-{count}"
        if not (path / "whole").exists():
            make(path, count)
        yield path


def make(path: Path, count: int) -> None:
    from vlsearch.ingest.vector_import import add_model
    from vlsearch.library import open_library

    with open_library(path, write=True, create=True) as library:
        model = add_model(library, MODEL, D)
        for xb in pieces(count):
            commit(library, model, xb)
    (path / "whole").touch()


def exact(xq, blocks: Iterator, k: int = 10):
    """(D, I) (nq, k) by blocked matrix products over blocks (ids, vectors)."""
    scores, found = np.full((len(xq), k), -np.inf, np.float32), np.full((len(xq), k), -1, np.int64)
    for ids, xb in blocks:
        products = xq @ xb.astype(np.float32).T
        best = np.argpartition(-products, min(k, len(ids) - 1), axis=1)[:, :k]
        scores = np.hstack([scores, np.take_along_axis(products, best, axis=1)])
        found = np.hstack([found, ids[best]])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)
    return scores, found


def live_blocks(library, model) -> Iterator:
    """(ids, vectors) of each shard, without what was forgotten."""
    from vlsearch.vectors.store import read_shard

    for shard in library.derived(model, "image").shards:
        ids, xb = read_shard(library.path / shard.file)
        live = np.isin(ids, shard.live())
        yield ids[live], xb[live]


def recall(found, truth) -> float:
    """The part of the true neighbours that was found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


class Known:
    """The part of a model that is asked for where the vectors are there already."""

    def __init__(self, row) -> None:
        self.name, self.fingerprint, self.dim = row.name, row.fingerprint, row.dim
