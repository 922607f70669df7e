"""Intervals: scipy's, seeded, and honest about what they cannot say."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import bootstrap

from hifacegan_lib.utils.statistics import Interval, mean_interval, paired, t_interval


def test_interval_matches_scipy() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 150)
    ours = mean_interval(values, 20_000, 0)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_interval_of_one_face_is_a_point_and_of_none_an_error() -> None:
    assert mean_interval(np.array([3.0]), 100, 0) == (3, 3, 3)
    for values in ([], [1.0, math.inf], [math.nan]):
        with pytest.raises(ValueError, match="finite values"):
            mean_interval(np.array(values), 100, 0)


def test_many_resamples_come_in_blocks_of_the_same_kind() -> None:
    values = np.random.default_rng(0).normal(size=300_000)
    low, high = mean_interval(values, 40, 0)[1:]
    assert -0.01 < low < high < 0.01


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = [low <= 5 <= high for _, low, high in (mean_interval(rng.normal(5, 2, 80), 300, 1) for _ in range(300))]
    assert 0.9 < np.mean(covered) < 0.98


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert mean_interval(values, 200, 0) == mean_interval(values, 200, 0) != mean_interval(values, 200, 1)


def test_an_interval_reads_well() -> None:
    assert str(Interval(1.234, -0.5, 2)) == "+1.23 [-0.50, +2.00]"


def test_pairs_without_a_finite_value_on_both_sides_are_left_out() -> None:
    a, b = np.array([1, np.inf, 3, np.nan]), np.array([0.5, 1, np.nan, 2])
    assert paired(a, b).tolist() == [0.5]


def test_the_interval_over_seeds_is_students() -> None:
    values = np.array([25.9, 26.4, 25.1, 26.0])
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert t_interval(values) == (pytest.approx(25.85), pytest.approx(low), pytest.approx(high))
    np.testing.assert_equal(t_interval(values[:1]), (25.9, math.nan, math.nan))
    np.testing.assert_equal(t_interval(values[:0]), (math.nan,) * 3)
