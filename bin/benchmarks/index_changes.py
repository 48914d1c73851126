"""Adding 1,000 vectors to 1,000,000 until they are found, deleting 1,000 until they are gone, and 100 rounds of both.

Found and gone by a library that is opened for the question (the first and the last of them in time, all of them after);
found without and with the index being saved; the main part of the index stays as it is. Recall@10 against exact search
before and after the rounds, for queries drawn from the mixture and for text-like ones. VLSEARCH_BENCH_COUNT has another
number of vectors, VLSEARCH_BENCH_ROUNDS another number of rounds, VLSEARCH_BENCH_WORK a folder that keeps the library.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable

import numpy as np

from benchmarks import _vectors
from benchmarks._material import temporary

CHANGED = 1_000
ROUNDS = int(os.environ.get("VLSEARCH_BENCH_ROUNDS", "100"))


def run() -> dict[str, float]:
    from vlsearch.library import open_library

    with _vectors.filled() as path, temporary() as folder:
        with open_library(path, write=True) as library:
            library.save_indexes()
        copy = shutil.copytree(path, (folder if _vectors.WORK is None else path.parent) / "changed")
        try:
            return changes(copy)
        finally:
            shutil.rmtree(copy)


def changes(path) -> dict[str, float]:
    from vlsearch.library import open_library

    with open_library(path, write=True) as library:
        model = library.model(_vectors.MODEL)
        figures = {f"before: {name}": value for name, value in recalls(library, model).items()}
        file = library.derived(model, "image").file
        main = file.stat().st_ino

        fresh = _vectors.drawn(CHANGED, 10**6)
        began = time.perf_counter()
        ids = _vectors.commit(library, model, fresh)
        assert (answers(path, fresh[:: CHANGED - 1]) == ids[:: CHANGED - 1]).all()
        figures["adding 1,000: s until found, not saved"] = time.perf_counter() - began
        assert (answers(path, fresh) == ids).all()
        fresh = _vectors.drawn(CHANGED, 10**6 + 1)
        began = time.perf_counter()
        more = _vectors.commit(library, model, fresh)
        library.save_indexes()
        assert (answers(path, fresh[:: CHANGED - 1]) == more[:: CHANGED - 1]).all()
        figures["adding 1,000: s until found, saved"] = time.perf_counter() - began
        assert (answers(path, fresh) == more).all()

        figures["deleting 1,000: s until gone, missing"] = gone(path, ids, lambda: missing(library, ids))
        figures["deleting 1,000: s until gone, forgotten"] = gone(path, more, lambda: forget(library, more))
        assert file.stat().st_ino == main, "the main part was written again"

        rng, slowest, rebuilt = np.random.default_rng(3), 0.0, 0
        for number in range(ROUNDS):
            began = time.perf_counter()
            _vectors.commit(library, model, _vectors.drawn(CHANGED, 10**6 + 2 + number))
            with library.snapshot() as reader:
                every = reader.all_shown("image")
            forget(library, rng.choice(every, CHANGED, replace=False).tolist())
            library.save_indexes()
            slowest = max(slowest, time.perf_counter() - began)
            rebuilt += int(file.stat().st_ino != main)
            main = file.stat().st_ino
        figures[f"{ROUNDS} rounds: slowest, s"] = slowest
        figures[f"{ROUNDS} rounds: main part written"] = rebuilt
        figures |= {f"after: {name}": value for name, value in recalls(library, model).items()}
    for name in _vectors.queries(1):
        figures[f"{name}: recall lost"] = figures[f"before: {name}"] - figures[f"after: {name}"]
    return figures


def answers(path, xb) -> np.ndarray:
    """The first answer to each vector, asked in a library that is opened for it."""
    from vlsearch.library import open_library
    from vlsearch.search.engine import Engine

    with open_library(path) as library:
        row = library.model(_vectors.MODEL)
        return Engine(library, _vectors.Known(row)).nearest(xb, 1)[1][:, 0]


def gone(path, ids: list[int], delete: Callable[[], None]) -> float:
    from vlsearch.library import open_library

    with open_library(path) as library:
        xb = library.index(library.model(_vectors.MODEL)).vectors(np.array(ids))
    began = time.perf_counter()
    delete()
    assert not np.isin(answers(path, xb[:: CHANGED - 1]), ids).any()
    taken = time.perf_counter() - began
    assert not np.isin(answers(path, xb), ids).any()
    return taken


def missing(library, ids: list[int]) -> None:
    from vlsearch.catalog import queries

    with library.transaction() as c:
        queries.mark_missing(c, [_vectors.path_of(i) for i in ids], 1.0)


def forget(library, ids: list[int]) -> None:
    from vlsearch.catalog import queries

    missing(library, ids)
    with library.transaction() as c:
        queries.forget_missing(c)


def recalls(library, model) -> dict[str, float]:
    """recall@10 among what lives, as it is shown."""
    from vlsearch.search.engine import Engine

    engine, figures = Engine(library, _vectors.Known(model)), {}
    for name, xq in _vectors.queries().items():
        truth = _vectors.exact(xq, _vectors.live_blocks(library, model))[1]
        figures[name] = _vectors.recall(engine.nearest(xq, 10)[1], truth)
    return figures
