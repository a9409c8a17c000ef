"""Bootstraps of means and of ratios."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.results.bootstrap import ratio_bootstrap
from interp.results.intervals import Interval, paired_bootstrap


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([low - 1e-12 <= truth <= high + 1e-12 for _, low, high in intervals]))


def test_the_paired_bootstrap_covers_a_planted_difference_93_to_97_times_in_100() -> None:
    rng = np.random.default_rng(0)
    intervals = [
        paired_bootstrap(rng.random(60) < 0.6, rng.random(60) < 0.4, rng=rng, draws=500)
        for _ in range(1000)
    ]
    assert 0.93 <= covered(intervals, 0.2) <= 0.97


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_with_equal_weights_the_ratio_is_the_mean(values: list[float]) -> None:
    part = np.array(values)
    value, low, high = ratio_bootstrap(
        part, np.full(len(part), 2.0), rng=np.random.default_rng(0), draws=200
    )
    assert value == pytest.approx(part.mean() / 2, abs=1e-12)
    assert part.min() / 2 - 1e-12 <= low <= high <= part.max() / 2 + 1e-12


def test_long_documents_weigh_more_in_a_ratio() -> None:
    value, _, _ = ratio_bootstrap(
        np.array([9.0, 0.0]), np.array([9.0, 1.0]), rng=np.random.default_rng(0)
    )
    assert value == pytest.approx(0.9)


def test_a_ratio_of_nothing_is_undefined() -> None:
    nothing = ratio_bootstrap(np.empty(0), np.empty(0), rng=np.random.default_rng(0))
    assert all(np.isnan(nothing))
