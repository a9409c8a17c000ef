"""Means of shares over languages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.evaluation.shares import mean_of_shares
from interp.results.intervals import wilson


@given(st.integers(0, 30), st.integers(0, 30))
def test_of_one_language_it_is_wilsons_interval(right: int, wrong: int) -> None:
    n = right + wrong
    one = mean_of_shares(np.array([right]), np.array([n]))
    np.testing.assert_allclose(one, wilson(right, n), atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=6))
def test_the_interval_holds_the_mean_and_stays_between_0_and_1(
    counts: list[tuple[int, int]],
) -> None:
    right = np.array([min(k, n) for k, n in counts])
    value, low, high = mean_of_shares(right, np.array([n for _, n in counts]))
    assert -1e-12 <= low <= value <= high <= 1 + 1e-12


def test_every_language_counts_the_same_whatever_its_size() -> None:
    assert mean_of_shares(np.array([10, 0]), np.array([10, 1000])).value == pytest.approx(0.5)


def test_an_empty_language_leaves_the_mean_undefined() -> None:
    assert np.isnan(mean_of_shares(np.array([1, 0]), np.array([1, 0])).value)


def test_the_interval_covers_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    shares, n = np.array([0.3, 0.8, 0.95]), np.array([60, 80, 100])
    draws = rng.binomial(n, shares, size=(2000, 3))
    covered = [
        low <= shares.mean() <= high for _, low, high in (mean_of_shares(d, n) for d in draws)
    ]
    assert 0.93 <= np.mean(covered) <= 0.975
