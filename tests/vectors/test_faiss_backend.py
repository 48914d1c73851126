from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.errors import LibraryDamaged
from vlsearch.vectors.faiss_backend import FaissBackend
from vlsearch.vectors.recipes import Recipe, recipe_for, recipes

D = 16


def unit(n: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(n, D)).astype(np.float16).astype(np.float32)
    normalised: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalised.astype(np.float16).astype(np.float32)


def index(xb: NDArray[np.float32], ids: NDArray[np.int64]) -> FaissBackend:
    backend = FaissBackend.create(D, recipe_for(len(xb)))
    if len(xb):
        backend.add(ids, xb)
    return backend


def test_answers_equal_those_of_plain_numpy() -> None:
    xb, xq = unit(300), unit(7, seed=1)
    ids = np.random.default_rng(2).permutation(10_000)[:300].astype(np.int64)
    scores, found = index(xb, ids).search(xq, 20)
    exact = xq @ xb.T
    order = np.argsort(-exact, axis=1)[:, :20]
    assert np.array_equal(found, ids[order])
    assert np.allclose(scores, np.take_along_axis(exact, order, axis=1), atol=1e-5)


def test_hidden_ones_make_room_for_the_next() -> None:
    xb, xq = unit(50), unit(3, seed=1)
    backend = index(xb, np.arange(50))
    everything = backend.search(xq, 50)[1]
    hidden = np.array([5, 7, 7, 49, 1000], np.int64)
    found = backend.search(xq, 10, hidden)[1]
    assert found.shape == (3, 10)
    for row, whole in zip(found, everything, strict=True):
        assert row.tolist() == [i for i in whole.tolist() if i not in hidden][:10]
    assert backend.search(xq, 50, hidden)[1].shape == (3, 47)
    assert backend.search(xq, 50, np.arange(50))[1].shape == (3, 0)


def test_k_beyond_the_collection_and_an_empty_one() -> None:
    assert index(unit(3), np.arange(3)).search(unit(1), 10)[1].shape == (1, 3)
    scores, found = index(unit(0), np.arange(0)).search(unit(2), 10)
    assert scores.shape == found.shape == (2, 0)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 40])
def test_equal_scores_stand_in_the_order_of_their_ids_wherever_they_are_cut(k: int) -> None:
    """20 equal vectors among others: the first k of an answer do not depend on k, nor on the order of adding."""
    xb = np.repeat(unit(2), 20, axis=0)
    ids = np.random.default_rng(3).permutation(40).astype(np.int64)
    found = index(xb, ids).search(unit(2)[:1], k)[1][0]
    same = np.sort(ids[:20]), np.sort(ids[20:])
    assert found.tolist() == np.concatenate(same)[:k].tolist()


def test_ties_at_the_cut_with_some_hidden() -> None:
    xb = np.repeat(unit(1), 30, axis=0)
    backend = index(xb, np.arange(30)[::-1].copy())
    assert backend.search(unit(1), 3, np.array([0, 2]))[1].tolist() == [[1, 3, 4]]


def dumped(backend: FaissBackend) -> bytes:
    parts: list[bytes] = []
    backend.dump(parts.append)
    return b"".join(parts)


def test_an_error_while_dumping_passes_through() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        index(unit(3), np.arange(3)).dump(full)


def test_dump_and_load() -> None:
    xb = unit(20)
    backend = FaissBackend.load(dumped(index(xb, np.arange(20) + 5)), D)
    assert backend.count == 20
    assert np.sort(backend.ids()).tolist() == list(range(5, 25))
    assert np.allclose(backend.vectors(np.array([24, 5])), xb[[19, 0]], atol=1e-3)
    with pytest.raises(KeyError):
        backend.vectors(np.array([4]))
    backend.remove(np.array([5, 999]))
    assert backend.count == 19
    assert 5 not in backend.search(xb[:1], 19)[1]
    backend.add(np.array([5]), xb[:1])
    assert backend.search(xb[:1], 1)[1].tolist() == [[5]]


@pytest.mark.parametrize("data", [b"", b"\0", b"IxMI" + b"\xff" * 60, b"no index" * 100])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(LibraryDamaged) as error:
        FaissBackend.load(data, D)
    assert "\n" not in str(error.value)


def test_an_index_of_other_dimensions_is_refused() -> None:
    with pytest.raises(LibraryDamaged, match="17 dimensions"):
        FaissBackend.load(dumped(index(unit(3), np.arange(3))), 17)


def test_every_recipe_is_one_that_faiss_knows() -> None:
    import faiss

    for recipe in recipes():
        assert faiss.index_factory(64, recipe.factory, faiss.METRIC_INNER_PRODUCT).d == 64
    assert [r.up_to for r in recipes()][-1] is None
    sizes = [r.up_to for r in recipes()[:-1]]
    assert all(size is not None for size in sizes)
    assert recipe_for(0) == recipes()[0]
    assert recipe_for(10**9) == recipes()[-1]
    assert isinstance(recipe_for(5), Recipe)
