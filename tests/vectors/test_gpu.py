from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.vectors import gpu
from vlsearch.vectors.faiss_backend import FaissBackend
from vlsearch.vectors.part import Part

D, N = 32, 3_000


def unit(n: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(n, D))
    normalised: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normalised


@pytest.fixture
def backend() -> FaissBackend:
    xb, ids = unit(N, 0).astype(np.float16), np.random.default_rng(1).permutation(9_000)[:N]
    xb[50:60] = xb[50]
    return FaissBackend(
        D, [Part.in_memory(D, [(ids[:2_000], xb[:2_000])]), Part.in_memory(D, [(ids[2_000:], xb[2_000:])])]
    )


def same_answers(backend: FaissBackend) -> None:
    xq = np.concatenate([unit(100, 2), backend.vectors(backend.ids()[:30])])
    for k in (1, 7, 100):
        expected = [np.concatenate(part) for part in zip(*(backend.search(q[None], k) for q in xq), strict=True)]
        scores, found = backend.search(xq, k)
        assert np.allclose(scores, expected[0], atol=1e-6)
        assert np.mean(found == expected[1]) > 0.999
    assert backend._gpus is not None


def test_shared_out_and_scored_again(backend: FaissBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with three GPUs that round to half precision, played by the processor."""
    import faiss

    made: list[Any] = []

    def flat_on(_device: int, d: int) -> Any:
        made.append(faiss.index_factory(d, "SQfp16", faiss.METRIC_INNER_PRODUCT))
        return made[-1]

    monkeypatch.setattr(gpu, "gpus", lambda: 3)
    monkeypatch.setattr(gpu, "flat_on", flat_on)
    monkeypatch.setattr(gpu, "FROM_VECTORS", N)
    monkeypatch.setattr(gpu, "COPIED", 300)
    same_answers(backend)
    assert [index.ntotal for index in made] == [1_000] * 3
    assert backend.search(unit(70, 3), 5, backend.ids()[:0])[1].shape == (70, 0)


def test_without_room_the_processor_answers(
    backend: FaissBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("out of memory\nat 0x0")

    monkeypatch.setattr(gpu, "gpus", lambda: 1)
    monkeypatch.setattr(gpu, "flat_on", full)
    monkeypatch.setattr(gpu, "FROM_VECTORS", N)
    assert backend.search(unit(70, 3), 5)[1].shape == backend.search(unit(70, 3), 5)[1].shape == (70, 5)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "searching without the GPU: out of memory"
    ]


def test_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpus", lambda: 1)
    assert gpu.pays(10**6, 1_000, 10)
    assert not any((gpu.pays(10**4, 1_000, 10), gpu.pays(10**6, 1, 10), gpu.pays(10**6, 1_000, 1_500)))
    monkeypatch.setattr(gpu, "gpus", lambda: 0)
    assert not gpu.pays(10**6, 1_000, 10)


@pytest.mark.gpu
def test_on_a_gpu(backend: FaissBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    if not gpu.gpus():
        pytest.skip("no GPU")
    monkeypatch.setattr(gpu, "FROM_VECTORS", N)
    same_answers(backend)
