"""Ranks and Recall@k beside a brute-force oracle, and beside open_clip's and CLIP_benchmark's own functions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit import metrics

KS = (1, 2, 5, 10)


def right_answers(owner: NDArray[np.int64], same: NDArray[np.int64], photos: int) -> NDArray[np.bool_]:
    """(captions, photos): a caption belongs to every photo that has its text."""
    right = np.zeros((len(owner), photos), np.bool_)
    for text in set(same.tolist()):
        of_text = np.flatnonzero(same == text)
        right[np.ix_(of_text, owner[of_text])] = True
    return right


def oracle(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(rank, ties) of each row with a right answer, by sorting: wrong answers go before right ones of their score."""
    found = []
    for row, of_row in zip(scores.tolist(), right.tolist(), strict=True):
        if any(of_row):
            order = sorted(range(len(row)), key=lambda i, row=row, of_row=of_row: (-row[i], of_row[i]))  # type: ignore[misc]
            first = next(place for place, i in enumerate(order) if of_row[i])
            best = row[order[first]]
            ties = sum(score == best and not own for score, own in zip(row, of_row, strict=True))
            found.append((1 + first, ties))
    return found


def pairs(ranks: metrics.Ranks) -> list[tuple[int, int]]:
    return list(zip(ranks.rank.tolist(), ranks.ties.tolist(), strict=True))


def test_ranks_and_recall_equal_the_oracle_on_500_random_cases() -> None:
    """Coordinates are multiples of 1/8, so that scores are exact and often equal; rows and texts come several times."""
    ties = shared = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        photos, texts, captions = rng.integers([2, 1, 1], [13, 30, 41])
        xb = (rng.integers(-2, 3, (photos, 6)) / 8).astype(np.float32)[rng.integers(0, photos, photos)]
        same = rng.integers(0, texts, captions)
        xt = (rng.integers(-2, 3, (texts, 6)) / 8).astype(np.float32)[same]
        owner = rng.integers(0, photos, captions)
        right = right_answers(owner, same, photos)
        scores = xt.astype(np.float64) @ xb.T.astype(np.float64)
        found = metrics.ranks(
            xt, xb, owner, same, captions_a_block=int(rng.integers(1, 20)), photos_a_block=int(rng.integers(1, 9))
        )
        for ranks, wanted in zip(found, (oracle(scores, right), oracle(scores.T, right.T)), strict=True):
            assert pairs(ranks) == wanted, seed
            for k in KS:
                assert metrics.recall_at_k(ranks.rank, k) == sum(rank <= k for rank, _ in wanted) / len(wanted)
            ties += sum(n > 0 for _, n in wanted)
        shared += int((right.sum(axis=1) > 1).sum())
    assert ties > 5000
    assert shared > 2000


def drawn(photos: int, captions: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Captions, photos and whose the captions are; every photo has one, and no two scores are equal."""
    rng = np.random.default_rng(photos)

    def unit(x: NDArray[np.float64]) -> NDArray[np.float32]:
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    owner = np.concatenate([np.arange(photos), rng.integers(0, photos, captions - photos)])
    xb = unit(rng.standard_normal((photos, 48)))
    xt = unit(xb[owner] + 0.4 * rng.standard_normal((captions, 48)))
    return xt, xb, owner


@pytest.mark.filterwarnings("ignore")
def test_recall_equals_that_of_open_clip() -> None:
    """Which knows one caption a photo."""
    import torch
    from open_clip_train.train import get_clip_metrics

    xt, xb, owner = drawn(300, 300)
    theirs = get_clip_metrics(torch.from_numpy(xb), torch.from_numpy(xt), 100.0)
    for direction, ranks in zip(("text_to_image", "image_to_text"), metrics.ranks(xt, xb, owner), strict=True):
        assert not ranks.ties.any()
        for k in (1, 5, 10):
            assert metrics.recall_at_k(ranks.rank, k) == pytest.approx(theirs[f"{direction}_R@{k}"], abs=1e-12)
        assert float(np.mean(ranks.rank)) == pytest.approx(theirs[f"{direction}_mean_rank"])
        # They round the median of an even number of ranks down.
        assert np.floor(metrics.median_rank(ranks.rank)) == theirs[f"{direction}_median_rank"]
        assert 0.1 < metrics.recall_at_k(ranks.rank, 1) < 0.9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shared", [False, True])
def test_recall_equals_that_of_clip_benchmark(shared: bool) -> None:
    """With several captions a photo, and with captions that are right for several photos."""
    import torch
    from clip_benchmark.metrics.zeroshot_retrieval import recall_at_k

    xt, xb, owner = drawn(200, 1000)
    same = np.arange(1000)
    if shared:
        same[900:] = np.arange(100)
        xt[900:] = xt[:100]
    right = torch.from_numpy(right_answers(owner, same, 200))
    scores = torch.from_numpy(xt @ xb.T)
    text_to_image, image_to_text = metrics.ranks(xt, xb, owner, same)
    for ranks, rows, of_rows in ((text_to_image, scores, right), (image_to_text, scores.T, right.T)):
        assert not ranks.ties.any()
        for k in KS:
            theirs = (recall_at_k(rows, of_rows, k) > 0).double().mean().item()
            assert metrics.recall_at_k(ranks.rank, k) == pytest.approx(theirs, abs=1e-12)
        assert 0.1 < metrics.recall_at_k(ranks.rank, 1) < 0.9
