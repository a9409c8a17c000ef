"""Bootstraps of ratios, and of seeds with their items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.results.bootstrap import hierarchical_bootstrap, ratio_bootstrap
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


def test_seeds_then_items_cover_a_planted_mean_93_to_97_times_in_100() -> None:
    rng = np.random.default_rng(0)
    intervals = []
    for _ in range(500):
        shares = np.clip(0.3 + 0.1 * rng.standard_normal(15), 0, 1)
        seeds = [(rng.random(60) < share).astype(float) for share in shares]
        intervals.append(hierarchical_bootstrap(seeds, rng=rng, draws=300))
    assert 0.93 <= covered(intervals, 0.3) <= 0.97


def test_items_alone_would_cover_a_mean_over_seeds_far_less_often() -> None:
    rng = np.random.default_rng(0)
    pooled = []
    for _ in range(200):
        shares = np.clip(0.3 + 0.1 * rng.standard_normal(15), 0, 1)
        items = np.concatenate([(rng.random(60) < share).astype(float) for share in shares])
        pooled.append(paired_bootstrap(items, np.zeros(900), rng=rng, draws=300))
    assert covered(pooled, 0.3) < 0.85


def test_every_seed_counts_the_same_whatever_its_items() -> None:
    seeds = [np.ones(1000), np.zeros(10)]
    value, low, high = hierarchical_bootstrap(seeds, rng=np.random.default_rng(0))
    assert (value, low, high) == (0.5, 0.0, 1.0)


def test_of_equal_seeds_only_the_items_vary() -> None:
    items = np.repeat([0.0, 1.0], 50)
    one = hierarchical_bootstrap([items] * 8, rng=np.random.default_rng(0))
    # The mean of 8 seeds of 100 items of variance 1/4.
    assert one.high - one.low == pytest.approx(2 * 1.96 * (0.25 / 800) ** 0.5, rel=0.05)


def test_one_seed_has_a_mean_and_no_interval_and_an_empty_one_is_refused() -> None:
    rng = np.random.default_rng(0)
    one = hierarchical_bootstrap([np.array([0.0, 1.0])], rng=rng)
    assert one.value == 0.5 and np.isnan(one.low)
    with pytest.raises(ValueError, match="without items"):
        hierarchical_bootstrap([np.array([]), np.array([1.0])], rng=rng)


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
