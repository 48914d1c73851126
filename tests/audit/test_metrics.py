from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlsearch.audit import metrics


def unit(x: NDArray[np.float64]) -> NDArray[np.float32]:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def reference(
    scores: NDArray[np.float64], owner: NDArray[np.int64]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(rank, ties) by the definition, query by query, from the whole matrix of captions × photos."""
    text_to_image, image_to_text = [], []
    for j, i in enumerate(owner):
        rivals = np.delete(scores[j], i)
        text_to_image.append((1 + int((rivals >= scores[j, i]).sum()), int((rivals == scores[j, i]).sum())))
    for i in sorted(set(owner.tolist())):
        best, rivals = scores[owner == i, i].max(), scores[owner != i, i]
        image_to_text.append((1 + int((rivals >= best).sum()), int((rivals == best).sum())))
    return text_to_image, image_to_text


def pairs(ranks: metrics.Ranks) -> list[tuple[int, int]]:
    return list(zip(ranks.rank.tolist(), ranks.ties.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_ranks_equal_the_definition(seed: int, photos: int, captions: int, rows: int, columns: int) -> None:
    """Coordinates are multiples of 1/8: scores are exact in any arithmetic, and ties and duplicates abound."""
    rng = np.random.default_rng(seed)
    xb = (rng.integers(-2, 3, (photos, 6)) / 8).astype(np.float32)
    xt = (rng.integers(-2, 3, (captions, 6)) / 8).astype(np.float32)
    owner = rng.integers(0, photos, captions)
    found = metrics.ranks(xt, xb, owner, captions_a_block=rows, photos_a_block=columns)
    wanted = reference(xt.astype(np.float64) @ xb.T.astype(np.float64), owner)
    assert (pairs(found[0]), pairs(found[1])) == wanted


def test_ranks_equal_the_whole_matrix_on_real_valued_vectors() -> None:
    rng = np.random.default_rng(1)
    xb = unit(rng.standard_normal((80, 64)))
    owner = rng.integers(0, 80, 300)
    xt = unit(xb[owner] + 0.4 * rng.standard_normal((300, 64)))
    found = metrics.ranks(xt, xb, owner, captions_a_block=7, photos_a_block=11)
    wanted = reference(xt.astype(np.float64) @ xb.T.astype(np.float64), owner)
    assert (pairs(found[0]), pairs(found[1])) == wanted
    assert 1 < np.mean(found[0].rank) < 20


def test_equal_photos_tie_wherever_they_stand() -> None:
    rng = np.random.default_rng(2)
    xb = np.repeat(unit(rng.standard_normal((101, 512))), 3, axis=0)[rng.permutation(303)]
    owner = np.arange(303)
    xt = unit(xb + 0.01 * rng.standard_normal((303, 512)))
    text_to_image, _ = metrics.ranks(xt, xb, owner, captions_a_block=50, photos_a_block=37)
    assert set(text_to_image.ties.tolist()) == {2}
    assert set(text_to_image.rank.tolist()) == {3}


def test_equal_captions_tie_and_own_ones_do_not_compete() -> None:
    rng = np.random.default_rng(3)
    xb = unit(rng.standard_normal((40, 512)))
    # Each photo has three equal captions, which its neighbour has as well.
    owner = np.repeat(np.arange(40), 3)
    xt = np.repeat(xb[(np.arange(40) // 2) * 2], 3, axis=0)
    _, image_to_text = metrics.ranks(xt, xb, owner, captions_a_block=13, photos_a_block=17)
    assert set(image_to_text.ties.tolist()) == {3}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 30), st.integers(1, 5), st.integers(1, 9))
def test_one_text_of_several_photos_is_right_for_each_of_them(
    seed: int, photos: int, captions: int, texts: int, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    xb = (rng.integers(-2, 3, (photos, 6)) / 8).astype(np.float32)
    same, owner = rng.integers(0, texts, captions), rng.integers(0, photos, captions)
    xt = (rng.integers(-2, 3, (texts, 6)) / 8).astype(np.float32)[same]
    scores = xt.astype(np.float64) @ xb.T.astype(np.float64)
    right = np.array([[i in owner[same == text] for i in range(photos)] for text in same])
    wanted = [
        [
            (1 + int((line[~own] >= line[own].max()).sum()), int((line[~own] == line[own].max()).sum()))
            for line, own in zip(table, known, strict=True)
            if own.any()
        ]
        for table, known in ((scores, right), (scores.T, right.T))
    ]
    found = metrics.ranks(xt, xb, owner, same, captions_a_block=rows, photos_a_block=3)
    assert [pairs(found[0]), pairs(found[1])] == wanted


def test_own_photos_of_a_text_are_no_rivals_among_few_doubtful_scores() -> None:
    """Scores of which next to none are alike, so that blocks are told by their error bound."""
    rng = np.random.default_rng(6)
    xb = unit(rng.standard_normal((60, 64)))
    same, owner = np.arange(400) // 2, rng.integers(0, 60, 400)
    xt = unit(rng.standard_normal((200, 64)))[same]
    scores = xt.astype(np.float64) @ xb.T.astype(np.float64)
    right = np.zeros(scores.shape, bool)
    for text in range(200):
        right[np.ix_(same == text, owner[same == text])] = True
    (found, back) = metrics.ranks(xt, xb, owner, same)
    for ranks, table, own in ((found, scores, right), (back, scores.T, right.T)):
        limit = np.where(own, table, -np.inf).max(axis=1, keepdims=True)
        assert ranks.rank.tolist() == (1 + ((table >= limit) & ~own).sum(axis=1)).tolist()
        assert not ranks.ties.any()


def test_scores_that_float32_cannot_tell_apart_are_ranked_exactly() -> None:
    """Two photos differ in one coordinate, by the least that float16 can say: less than 512 products may be off."""
    rng = np.random.default_rng(5)
    xb = (rng.standard_normal((2, 512)) / 40).astype(np.float16)
    xb[1] = xb[0]
    xb[1, 7] = np.nextafter(xb[0, 7], np.float16(1))
    xt = np.abs(rng.standard_normal((300, 512)) / 40).astype(np.float16).astype(np.float32)
    (found, _) = metrics.ranks(xt, xb.astype(np.float32), np.zeros(300, np.int64))
    assert set(zip(found.rank.tolist(), found.ties.tolist(), strict=True)) == {(2, 0)}
    (found, _) = metrics.ranks(xt, xb.astype(np.float32), np.ones(300, np.int64))
    assert set(zip(found.rank.tolist(), found.ties.tolist(), strict=True)) == {(1, 0)}


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 64), (1000, 1000)])
def test_blocks_do_not_matter(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    xb, owner = unit(rng.standard_normal((60, 96))), rng.integers(0, 60, 150)
    xt = unit(rng.standard_normal((150, 96)))
    a, b = metrics.ranks(xt, xb, owner)
    c, d = metrics.ranks(xt, xb, owner, captions_a_block=shape[0], photos_a_block=shape[1])
    assert pairs(a) == pairs(c)
    assert pairs(b) == pairs(d)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_rows_that_cannot_be_scored_are_refused(value: float) -> None:
    xb = np.eye(3, dtype=np.float32)
    bad = xb.copy()
    bad[1, 1] = value
    for xt, gallery in ((bad, xb), (xb, bad)):
        with pytest.raises(ValueError, match="finite unit rows"):
            metrics.ranks(xt, gallery, np.arange(3))


def test_figures() -> None:
    rank = np.array([1, 2, 4, 10])
    assert [metrics.recall_at_k(rank, k) for k in (1, 2, 5, 10)] == [0.25, 0.5, 0.75, 1.0]
    assert metrics.mrr(rank) == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 10) / 4)
    assert metrics.median_rank(rank) == 3


def test_chance_of_one_true_item() -> None:
    chance = metrics.chance(8, np.ones(5, np.int64))
    assert [chance.at(k) for k in (1, 5, 8, 100)] == [1 / 8, 5 / 8, 1.0, 1.0]
    assert chance.mrr == pytest.approx(sum(1 / r for r in range(1, 9)) / 8)
    assert chance.median_rank == 4


def test_chance_of_several_true_items_equals_counting() -> None:
    """Captions per photo 1 and 3, of 7 in all: every possible top k is listed."""
    chance = metrics.chance(7, np.array([1, 3, 3]))
    for k in range(1, 8):
        tops = list(combinations(range(7), k))
        hit = [sum(min(top) < m for top in tops) / len(tops) for m in (1, 3, 3)]
        assert chance.at(k) == pytest.approx(np.mean(hit), abs=1e-12)


def test_chance_equals_scipy_at_size() -> None:
    from scipy.stats import hypergeom

    chance = metrics.chance(25010, np.array([5] * 4990 + [6] * 10))
    for k in (1, 10, 1000):
        missed = hypergeom.pmf(0, 25010, [5, 6], k)
        assert chance.at(k) == pytest.approx(1 - (4990 * missed[0] + 10 * missed[1]) / 5000, abs=1e-12)
