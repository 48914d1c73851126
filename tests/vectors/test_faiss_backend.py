from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlsearch.vectors import faiss_backend, recipes
from vlsearch.vectors.faiss_backend import FaissBackend
from vlsearch.vectors.part import Part
from vlsearch.vectors.part_file import write_part
from vlsearch.vectors.recipes import recipe_for

D = 16


def unit(n: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(n, D))
    normalised: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    return normalised.astype(np.float32)


def memory(xb: NDArray[np.float32], ids: NDArray[np.int64]) -> Part:
    return Part.in_memory(D, [(ids, xb.astype(np.float16))] if len(xb) else [])


def index(xb: NDArray[np.float32], ids: NDArray[np.int64]) -> FaissBackend:
    return FaissBackend(D, [memory(xb, ids)])


def lists_of(folder: Path, xb: NDArray[np.float32], ids: NDArray[np.int64], lists: int, probed: int) -> Part:
    """A part of several lists, in a file."""
    centroids = unit(lists, 99)
    nearest = np.argmax(xb @ centroids.T, axis=1)
    w = write_part(folder / "part.faiss", centroids, ids, nearest, [xb.astype(np.float16)])
    return Part.open(
        folder / "part.faiss", D, token=w.token, size=w.size, count=len(ids), lists=lists, probes={10: probed}
    )


def oracle(
    xq: NDArray[np.float32], xb: NDArray[np.float32], ids: NDArray[np.int64], k: int, allowed: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if allowed is not None:
        keep = np.isin(ids, allowed)
        xb, ids = xb[keep], ids[keep]
    # a row at a time: BLAS may sum equal rows of a matrix in different orders
    scores = np.array([[np.float32(np.sum(q.astype(np.float64) * b)) for b in xb] for q in xq]).reshape(len(xq), -1)
    order = np.array([np.lexsort((ids, -row))[:k] for row in scores], np.int64).reshape(len(xq), -1)
    return np.take_along_axis(scores, order, axis=1), ids[order]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_answers_equal_those_of_plain_numpy(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Ties, filters, and vectors that lie in a main part, its tail and fresh shards."""
    n = data.draw(st.integers(1, 60), "vectors")
    distinct = data.draw(st.integers(1, n), "distinct")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    xb = unit(distinct, 5)[np.concatenate([np.arange(distinct), rng.integers(0, distinct, n - distinct)])]
    ids = rng.permutation(500)[:n].astype(np.int64)
    cuts = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)), "cuts"))
    parts = [memory(xb[a:b], ids[a:b]) for a, b in ((cuts[0], cuts[1]), (cuts[1], n))]
    if cuts[0]:
        parts.insert(0, lists_of(tmp_path_factory.mktemp("p"), xb[: cuts[0]], ids[: cuts[0]], 4, 4))
    allowed = None
    if data.draw(st.booleans(), "filtered"):
        allowed = np.unique(rng.integers(0, 500, data.draw(st.integers(0, 400), "allowed")))
    k = data.draw(st.integers(1, 70), "k")
    xq = np.concatenate([unit(2, 6), xb[:2]])
    D_, found = FaissBackend(D, parts).search(xq, k, allowed)
    scores, expected = oracle(xq, xb, ids, k, allowed)
    assert np.array_equal(found, expected)
    assert np.allclose(D_, scores, atol=1e-5)


@pytest.mark.parametrize("kept", [3, 40, 700, 1_999])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_lists_that_are_passed_over_never_leave_an_answer_short(
    tmp_path: Path, kept: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "recipes", lambda: (recipes.Recipe("exact", 0, up_to=1), recipes.Recipe("lists", 1)))
    xb, ids = unit(2_000), np.arange(2_000)
    backend = FaissBackend(D, [lists_of(tmp_path, xb, ids, 200, 1)])
    allowed = np.sort(np.random.default_rng(7).permutation(2_000)[:kept])
    scores, found = backend.search(unit(20, 1), k, allowed)
    assert found.shape == (20, min(k, kept))
    assert np.isin(found, allowed).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    assert backend.search(unit(20, 1), 2_500)[1].shape == (20, 2_000)


def test_few_allowed_ids_are_searched_exactly_and_many_with_more_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xb, ids, xq = unit(2_000), np.arange(2_000), unit(50, 1)
    part = lists_of(tmp_path, xb, ids, 50, 5)
    backend = FaissBackend(D, [part])
    allowed = np.arange(0, 2_000, 2)
    exact = oracle(xq, xb, ids, 10, allowed)[1]
    assert np.array_equal(backend.search(xq, 10, allowed)[1], exact)
    looked: list[int] = []
    monkeypatch.setattr(recipes, "recipes", lambda: (recipes.Recipe("exact", 0, up_to=100), recipes.Recipe("lists", 1)))
    monkeypatch.setattr(
        part, "_look", lambda xq, k, nprobe, sel: looked.append(nprobe) or Part._look(part, xq, k, 50, sel)
    )
    backend.search(xq, 10, allowed)
    backend.search(xq, 10, allowed[:25])
    backend.search(xq, 10, allowed[::2])
    backend.search(xq, 10)
    assert looked == [10, 50, 20, 5]


@pytest.mark.parametrize("kept", [5, faiss_backend.FEW + 1])
def test_allowed_ids_that_there_are_none_of(kept: int) -> None:
    backend = index(unit(30), np.arange(30))
    assert backend.search(unit(2, 1), 5, np.arange(100, 100 + kept))[1].shape == (2, 0)
    assert backend.search(unit(2, 1), 5, np.arange(28, 28 + kept))[1].tolist() in ([[28, 29]] * 2, [[29, 28]] * 2,
        [[28, 29], [29, 28]], [[29, 28], [28, 29]])  # fmt: skip


def test_k_beyond_the_collection_and_an_empty_one() -> None:
    assert index(unit(3), np.arange(3)).search(unit(1), 10)[1].shape == (1, 3)
    assert index(unit(3), np.arange(3)).search(unit(1), 0)[1].shape == (1, 0)
    assert index(unit(3), np.arange(3)).search(unit(0), 2)[1].shape == (0, 0)
    scores, found = index(unit(0), np.arange(0)).search(unit(2), 10)
    assert scores.shape == found.shape == (2, 0)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 40])
def test_equal_scores_stand_in_the_order_of_their_ids_wherever_they_are_cut(k: int) -> None:
    """20 equal vectors among others: the first k of an answer do not depend on k, nor on the order of adding."""
    xb = np.repeat(unit(2), 20, axis=0)
    ids = np.random.default_rng(3).permutation(40).astype(np.int64)
    found = index(xb, ids).search(unit(2), k)[1]
    same = np.sort(ids[:20]), np.sort(ids[20:])
    assert found[0].tolist() == np.concatenate(same)[:k].tolist()
    assert found[1].tolist() == np.concatenate(same[::-1])[:k].tolist()


def test_ties_at_the_cut_in_several_parts() -> None:
    xb = np.repeat(unit(1), 30, axis=0)
    backend = FaissBackend(D, [memory(xb[:20], np.arange(30)[::-1][:20].copy()), memory(xb[20:], np.arange(10))])
    assert backend.search(unit(1), 3)[1].tolist() == [[0, 1, 2]]
    assert backend.search(unit(1), 3, np.setdiff1d(np.arange(30), [0, 2]))[1].tolist() == [[1, 3, 4]]
    assert backend.search(unit(1), 12)[1].tolist() == [list(range(12))]


def test_vectors_of_ids() -> None:
    xb = unit(20)
    backend = FaissBackend(D, [memory(xb[:5], np.arange(5) + 5), memory(xb[5:], np.arange(5, 20) + 5)])
    assert backend.count == 20
    assert sorted(backend.ids().tolist()) == list(range(5, 25))
    assert np.array_equal(backend.vectors(np.array([24, 5, 24])), xb[[19, 0, 19]])
    assert backend.vectors(np.array([], np.int64)).shape == (0, D)
    with pytest.raises(KeyError, match="4"):
        backend.vectors(np.array([7, 4]))
    with pytest.raises(KeyError):
        FaissBackend(D, []).vectors(np.array([1]))


def test_recipes_cover_every_size() -> None:
    assert [r.up_to for r in recipes.recipes()][-1] is None
    sizes = [r.up_to or 0 for r in recipes.recipes()[:-1]]
    assert sizes == sorted(sizes)
    assert all(sizes)
    assert recipe_for(0) == recipes.recipes()[0]
    assert recipe_for(10**9) == recipes.recipes()[-1]
    assert recipe_for(recipes.exact_up_to()).lists(recipes.exact_up_to()) == 1
    assert recipe_for(10**6).lists(10**6) > 100
