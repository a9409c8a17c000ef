import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from interp.results.intervals import Interval, mean_t, paired_bootstrap, wilson, wilson_bounds


def test_wilson_of_none_and_of_all_twenty_is_as_published() -> None:
    assert wilson(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((1.0, 0.8389, 1.0), abs=1e-4)


@given(st.integers(1, 400), st.data())
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
    ours = wilson(successes, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.low <= ours.value <= ours.high


def test_wilson_bounds_of_many_counts_are_scipys() -> None:
    found = wilson_bounds(np.arange(13), 12 + 1)
    for successes, ends in enumerate(found):
        theirs = stats.binomtest(successes, 13).proportion_ci(method="wilson")
        assert tuple(ends) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert np.isnan(wilson_bounds(np.zeros(2, int), 0)).all()


def test_wilson_of_nothing_is_undefined() -> None:
    assert all(np.isnan(wilson(0, 0)))


def test_more_successes_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_mean_t_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).normal(size=6)
    low, high = stats.t.interval(0.95, 5, loc=values.mean(), scale=stats.sem(values))
    assert mean_t(values) == pytest.approx((values.mean(), low, high))


def test_one_run_has_a_mean_and_no_interval() -> None:
    assert mean_t(np.array([0.5])).value == 0.5
    assert np.isnan(mean_t(np.array([0.5])).low)


def test_the_bootstrap_of_equal_answers_is_zero() -> None:
    right = np.array([True, False, True])
    assert paired_bootstrap(right, right, rng=np.random.default_rng(0)) == (0.0, 0.0, 0.0)


def test_the_bootstrap_interval_covers_a_planted_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        a, b = rng.random(150) < 0.6, rng.random(150) < 0.4
        interval = paired_bootstrap(a, b, rng=rng, draws=500)
        covered += interval.low <= 0.2 <= interval.high
    assert 180 <= covered <= 199


def test_intervals_that_touch_are_not_apart() -> None:
    assert not Interval(0.5, 0.4, 0.6).apart_from(Interval(0.7, 0.6, 0.8))
    assert Interval(0.5, 0.4, 0.6).apart_from(Interval(0.7, 0.61, 0.8))
