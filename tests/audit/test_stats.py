from __future__ import annotations

import doctest
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit.stats import bootstrap, detectable, holm, interval, paired_interval, sign_flip_p, wilson


def test_interval_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(6)
    size = rng.integers(1, 6, 50).astype(float)
    clean, worse = rng.binomial(5, 0.6, (50, 1)).astype(float), rng.binomial(5, 0.4, (50, 1, 3)).astype(float)
    low, high, error = paired_interval(clean, worse, size, resamples=8000)
    drops = []
    for _ in range(8000):
        photos = rng.integers(0, 50, 50)
        drops.append((clean[photos, 0].sum() - worse[photos, 0].mean(axis=1).sum()) / size[photos].sum())
    # For 49 degrees of freedom t is 2.0096, times √(50 / 49) a normal deviate that leaves out 2.12 %.
    assert [low[0], high[0]] == pytest.approx(np.percentile(drops, [2.12, 97.88]), abs=0.02)
    assert error[0] == pytest.approx(np.std(drops) * np.sqrt(50 / 49), rel=0.05)


def test_means_have_the_interval_of_a_t_test_where_values_are_many_and_even() -> None:
    from scipy import stats

    values = np.random.default_rng(3).random((300, 2, 4))
    low, high, error = interval(values, resamples=20_000)
    means = values.mean(axis=2)
    wanted = stats.ttest_1samp(means, 0).confidence_interval()
    assert low == pytest.approx(wanted.low, abs=5e-4)
    assert high == pytest.approx(wanted.high, abs=5e-4)
    assert error == pytest.approx(stats.sem(means), rel=0.02)


def test_few_photos_widen_the_interval() -> None:
    """As far as Student's t is wider than a normal deviate."""
    from scipy import stats

    for photos in (12, 25, 60):
        values = stats.norm.ppf((np.arange(photos) + 0.5) / photos)[:, None, None]
        low, high, error = interval(values, resamples=50_000)
        assert error[0] == pytest.approx(stats.sem(values[:, 0, 0]), rel=0.02)
        assert (high[0] - low[0]) / (2 * error[0]) == pytest.approx(stats.t.ppf(0.975, photos - 1), rel=0.03)


def test_constant_values_have_an_interval_of_one_point() -> None:
    low, high, error = interval(np.ones((9, 1, 3)))
    assert (low[0], high[0], error[0]) == (1.0, 1.0, 0.0)
    low, high, _ = interval(np.full((1, 1, 2), 0.5))
    assert (low[0], high[0]) == (0.5, 0.5)


def test_statistics_of_any_form_can_be_resampled() -> None:
    """Macro accuracy of two groups: by hand, group by group."""
    rng = np.random.default_rng(4)
    group = rng.integers(0, 2, 80)
    right = (rng.random(80) < 0.3 + 0.4 * group).astype(float)
    hits, items = np.stack([right * (group == g) for g in (0, 1)], 1), np.stack([group == g for g in (0, 1)], 1) * 1.0

    def macro(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((counts @ hits) / (counts @ items)).mean(axis=1, keepdims=True)

    _, _, error = bootstrap(macro, 80, resamples=10_000)
    within = [np.var(right[group == g]) / np.sum(group == g) for g in (0, 1)]
    assert error[0] == pytest.approx(np.sqrt(sum(within) / 4), rel=0.06)


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


def test_resamples_without_a_value_are_left_out() -> None:
    """The mean of the photos that count is a value only where one of the two was drawn."""
    counts_of = np.array([1.0, 0.0, 0.0, 1.0])

    def statistic(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = counts * counts_of
        total = weights.sum(axis=1, keepdims=True)
        return np.divide(
            weights @ np.array([[1.0], [9.0], [9.0], [2.0]]), total, out=np.full_like(total, np.nan), where=total > 0
        )

    low, high, _ = bootstrap(statistic, 4)
    assert (low[0], high[0]) == (1.0, 2.0)


def test_seeds_stay_with_their_photo() -> None:
    """Half of the seeds lose every photo: the drop is a half for each photo, and no draw of photos changes it."""
    clean, size = np.ones((400, 1)), np.ones(400)
    worse = np.stack([np.zeros((400, 1)), np.ones((400, 1))], axis=2)
    low, high, error = paired_interval(clean, worse, size)
    assert (low[0], high[0], error[0]) == (0.5, 0.5, 0.0)


def test_more_seeds_narrow_the_interval_by_what_the_seeds_add() -> None:
    rng = np.random.default_rng(11)
    clean, size = np.ones((2000, 1)), np.ones(2000)
    worse = rng.integers(0, 2, (2000, 1, 16)).astype(float)
    errors = [paired_interval(clean, worse[:, :, :s], size)[2][0] for s in (1, 4, 16)]
    assert errors == pytest.approx([0.5 / np.sqrt(2000 * s) for s in (1, 4, 16)], rel=0.06)


def test_no_difference_is_an_interval_of_exactly_zero() -> None:
    hits = np.random.default_rng(9).integers(0, 6, (77, 1)).astype(float)
    low, high, _ = paired_interval(hits, np.repeat(hits[:, :, None], 3, axis=2), np.full(77, 5.0))
    assert (low[0], high[0]) == (0.0, 0.0)


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlsearch.audit.stats._CELLS_A_BLOCK", 700)
    difference = np.ones((11, 1), np.int64)
    # All signs alike in 2 of 2,048 cases: p lies near 0.001 and can only be a multiple of 1 / 2,001.
    p = sign_flip_p(difference, resamples=2000)
    assert (p * 2001)[0] == pytest.approx(round(float(p[0] * 2001)))
    assert 1 / 2001 <= p[0] < 0.004


@pytest.mark.parametrize("resamples", [256, 255])
def test_p_agrees_with_all_sign_flips(resamples: int) -> None:
    """Exactly where all signs of 8 photos are no more than the resamples, by chance where they are."""
    difference = np.array([3, 1, -1, 2, 0, 2, 1, -2])
    sums = [abs(np.dot(signs, difference)) for signs in product((-1, 1), repeat=8)]
    exact = np.mean(np.array(sums) >= abs(difference.sum()))
    found = [sign_flip_p(difference[:, None], resamples=resamples, seed=seed)[0] for seed in range(60)]
    assert np.mean(found) == pytest.approx(exact, abs=0.015)
    assert (np.std(found) == 0) == (resamples == 256)
    assert (found[0] == exact) == (resamples == 256)


def test_p_of_no_difference_is_one() -> None:
    assert sign_flip_p(np.zeros((30, 2), np.int64)).tolist() == [1.0, 1.0]


def test_p_is_uniform_without_an_effect() -> None:
    rng = np.random.default_rng(10)
    p = sign_flip_p(rng.integers(-3, 4, (60, 300)), resamples=500)
    assert 0.02 < np.mean(p < 0.05) < 0.09
    assert 0.4 < np.mean(p) < 0.6


def test_wilson_equals_scipy() -> None:
    from scipy.stats import binomtest

    for successes, n in ((0, 7), (7, 7), (31, 40), (12_000, 23_937)):
        for level in (0.8, 0.95):
            wanted = binomtest(successes, n).proportion_ci(level, "wilson")
            assert wilson(successes, n, level) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_detectable_difference_is_detected_in_8_of_10_cases() -> None:
    difference = detectable(0.01)
    estimates = np.random.default_rng(12).normal(difference, 0.01, 20_000)
    assert np.mean(np.abs(estimates) > 1.959964 * 0.01) == pytest.approx(0.8, abs=0.01)
    assert detectable(0.02, level=0.9, power=0.5) == pytest.approx(0.02 * 1.644854)


def test_holm_by_hand() -> None:
    # In order: 4 × .01 = .04, 3 × .02 = .06, 2 × .03 = .06, 1 × .04 raised to the .06 before it.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "statistics.md"
    done = doctest.testfile(str(page), module_relative=False)
    assert done.attempted > 0
    assert done.failed == 0, capsys.readouterr().out
