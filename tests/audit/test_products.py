"""Blocks of scores on another device: the same ranks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import products
from vlsearch.audit.products import CpuProducts, GpuProducts, count, own_places
from vlsearch.audit.ranking import ranks
from vlsearch.audit.scores import error_bound


def material(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    xb = rng.standard_normal((70, 32))
    xb[40:50] = xb[10:20]  # ties
    owner = rng.integers(0, 70, 300)
    xt = xb[owner] + 1.5 * rng.standard_normal((300, 32))
    unit = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16).astype(np.float32) for x in (xt, xb)]
    return unit[0], unit[1], owner


def same_ranks(device: str) -> None:
    xt, xb, owner = material()
    elsewhere = GpuProducts(xt, xb, owner, error_bound(xt, xb), device)
    found = ranks(xt, xb, owner, captions_a_block=77, photos_a_block=33, on=elsewhere)
    wanted = ranks(xt, xb, owner)
    for one, other in zip(found, wanted, strict=True):
        assert one.rank.tolist() == other.rank.tolist()
        assert one.ties.tolist() == other.ties.tolist()
    assert wanted[0].ties.sum() > 0


def test_pytorch_gives_the_ranks_that_numpy_gives() -> None:
    same_ranks("cpu")


@pytest.mark.gpu
def test_a_gpu_gives_the_ranks_that_numpy_gives() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    same_ranks("cuda")


def test_a_gpu_is_taken_where_a_model_has_brought_torch_along(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    xt, xb, owner = material()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(products, "GpuProducts", lambda *arguments: arguments[-1])
    assert products.products(xt, xb, owner, 0.1) == "cuda"
    monkeypatch.delitem(sys.modules, "torch")
    assert isinstance(products.products(xt, xb, owner, 0.1), CpuProducts)


def test_what_is_doubtful_is_just_what_lies_within_the_error() -> None:
    xt, xb, owner = material()
    for of in (CpuProducts(xt, xb, owner, 0.05), GpuProducts(xt, xb, owner, 0.05, "cpu")):
        rows, columns = slice(100, 220), slice(8, 64)
        true, best = np.full(120, 0.3), np.full(56, 0.2)
        scores = (xt[rows] @ xb[columns].T).astype(np.float64)
        scores[own_places(owner, rows, columns)] = -np.inf
        for side, limit, axis in zip(of.tell(rows, columns, true, best), (0.3, 0.2), (1, 0), strict=True):
            assert side.above.tolist() == (scores > limit + 0.05).sum(axis).tolist()
            near = np.zeros(scores.shape, bool)
            near[side.doubtful] = True
            assert (near == (np.abs(scores - limit) <= 0.05)).all()


@pytest.mark.parametrize("shape", [(255, 2040), (256, 2048), (3, 7), (1, 8)])
@pytest.mark.parametrize("axis", [0, 1])
def test_bytes_add_up(shape: tuple[int, int], axis: int) -> None:
    for flags in (np.ones(shape, bool), np.random.default_rng(0).random(shape) < 0.5):
        assert count(flags, axis).tolist() == flags.sum(axis).tolist()
