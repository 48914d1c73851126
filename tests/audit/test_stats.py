from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from vlsearch.audit.stats import holm, paired_interval, sign_flip_p


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Photos with 1 to 5 captions that share a photo's luck; true drop 0.7 - 0.6."""
    rng = np.random.default_rng(5)
    covered, narrow = 0, 0
    for trial in range(200):
        size = rng.integers(1, 6, 120)
        luck = rng.beta(2, 2, (120, 1))
        clean = rng.binomial(size, np.clip(luck[:, 0] + 0.2, 0, 1))
        worse = rng.binomial(size[:, None], np.clip(luck + 0.1, 0, 1), (120, 4))
        truth = float(np.mean(np.clip(_BETA + 0.2, 0, 1)) - np.mean(np.clip(_BETA + 0.1, 0, 1)))
        low, high, _ = paired_interval(
            clean[:, None].astype(float), worse[:, None, :].astype(float), size.astype(float), resamples=400, seed=trial
        )
        covered += low[0] <= truth <= high[0]
        narrow += high[0] - low[0] < 0.2
    # 190 expected with a standard deviation of 3; a percentile interval of 120 photos may fall a little short
    assert 178 <= covered <= 200
    assert narrow == 200


_BETA = np.random.default_rng(0).beta(2, 2, 400_000)


def test_interval_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(6)
    size = np.full(50, 5.0)
    clean, worse = rng.integers(2, 6, (50, 1)).astype(float), rng.integers(0, 5, (50, 1, 3)).astype(float)
    low, high, _ = paired_interval(clean, worse, size, resamples=4000)
    drops = []
    for _ in range(4000):
        photos, seeds = rng.integers(0, 50, 50), rng.integers(0, 3, 3)
        drops.append((clean[photos, 0].sum() - worse[photos][:, 0, seeds].mean(axis=1).sum()) / size[photos].sum())
    assert [low[0], high[0]] == pytest.approx(np.percentile(drops, [2.5, 97.5]), abs=0.02)


def test_captions_of_a_photo_travel_together() -> None:
    """Five copies of each caption say no more than one: the interval must not shrink."""
    rng = np.random.default_rng(7)
    clean = rng.integers(0, 2, (100, 1)).astype(float)
    worse = rng.integers(0, 2, (100, 1, 1)).astype(float)
    one = paired_interval(clean, worse, np.ones(100))
    five = paired_interval(5 * clean, 5 * worse, np.full(100, 5.0))
    assert (one[0], one[1]) == (pytest.approx(five[0]), pytest.approx(five[1]))


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(8)
    clean = rng.integers(0, 2, 200).astype(float)
    paired = np.where(rng.random(200) < 0.05, 0, clean)
    low, high, _ = paired_interval(clean[:, None], paired[:, None, None], np.ones(200))
    shuffled = rng.permutation(paired)
    far_low, far_high, _ = paired_interval(clean[:, None], shuffled[:, None, None], np.ones(200))
    assert high[0] - low[0] < 0.5 * (far_high[0] - far_low[0])


def test_seeds_are_resampled_too() -> None:
    clean, size = np.ones((400, 1)), np.ones(400)
    worse = np.stack([np.zeros((400, 1)), np.ones((400, 1))], axis=2)
    low, high, _ = paired_interval(clean, worse, size)
    assert (low[0], high[0]) == (0.0, 1.0)


def test_no_difference_is_an_interval_of_exactly_zero() -> None:
    hits = np.random.default_rng(9).integers(0, 6, (77, 1)).astype(float)
    low, high, _ = paired_interval(hits, np.repeat(hits[:, :, None], 3, axis=2), np.full(77, 5.0))
    assert (low[0], high[0]) == (0.0, 0.0)


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlsearch.audit.stats._CELLS_A_BLOCK", 700)
    difference = np.ones((10, 1), np.int64)
    # All signs alike in 2 of 1,024 cases: p lies near 0.002 and can only be a multiple of 1 / 2,001.
    p = sign_flip_p(difference, resamples=2000)
    assert (p * 2001)[0] == pytest.approx(round(float(p[0] * 2001)))
    assert 1 / 2001 <= p[0] < 0.006


def test_p_agrees_with_all_sign_flips() -> None:
    difference = np.array([3, 1, -1, 2, 0, 2, 1, -2])
    sums = [abs(np.dot(signs, difference)) for signs in product((-1, 1), repeat=8)]
    exact = np.mean(np.array(sums) >= abs(difference.sum()))
    assert sign_flip_p(difference[:, None], resamples=20_000)[0] == pytest.approx(exact, abs=0.01)


def test_p_of_no_difference_is_one() -> None:
    assert sign_flip_p(np.zeros((30, 2), np.int64)).tolist() == [1.0, 1.0]


def test_p_is_uniform_without_an_effect() -> None:
    rng = np.random.default_rng(10)
    p = sign_flip_p(rng.integers(-3, 4, (60, 300)), resamples=500)
    assert 0.02 < np.mean(p < 0.05) < 0.09
    assert 0.4 < np.mean(p) < 0.6


def test_holm_by_hand() -> None:
    # In order: 4 × .01 = .04, 3 × .02 = .06, 2 × .03 = .06, 1 × .04 raised to the .06 before it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
