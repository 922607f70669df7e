"""Intervals: scipy's, seeded, and honest about what they cannot say."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import bootstrap

from hifacegan_lib.utils.statistics import Interval, differences, mean_interval, paired, ranks, t_interval


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


def test_methods_that_the_faces_cannot_tell_apart_share_a_rank() -> None:
    rng = np.random.default_rng(0)
    faces, noise = rng.normal(0, 10, 60), rng.normal(0, 1, (3, 60))
    scores = {"worst": faces - 5, "first": faces + 1, "like first": faces + 1 + noise[0] - noise[0].mean() - 0.01}
    scores |= {"second": faces, "like second": faces + noise[1] - noise[1].mean() - 0.01}
    found = ranks(scores)
    assert found == {"first": 1, "like first": 1, "second": 3, "like second": 3, "worst": 5}
    assert list(found) == ["first", "like first", "second", "like second", "worst"]
    table = differences(scores, "first")
    for method, rank in found.items():
        assert (rank == 1) == (table.loc[method, "high"] >= 0)
    np.testing.assert_allclose(table.loc["worst"], [-6, -6, -6, 60])


def test_one_face_ranks_nothing_and_faces_without_a_value_do_not_count() -> None:
    assert ranks({"a": np.array([1.0]), "b": np.array([9.0])}) == {"b": 1, "a": 1}
    gaps = {"a": np.array([1.0, np.nan, 2.0]), "b": np.array([2.0, 5.0, 3.0]), "none": np.full(3, np.nan)}
    assert ranks(gaps) == {"b": 1, "a": 2}
    assert differences(gaps, "b").loc["a"].tolist() == [-1, -1, -1, 2]
    assert differences(gaps, "b").loc["none", "n"] == 0 and np.isnan(differences(gaps, "b").loc["none", "mean"])
