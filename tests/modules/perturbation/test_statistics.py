"""What a drop matrix says, computed in another way; intervals that hold what they should."""

from itertools import permutations

import numpy as np
import pytest

from interp.modules.perturbation.statistics import (
    bootstrap_means,
    mean_by_function,
    own_minus_other,
    own_minus_other_each,
    relabelled_rows,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_own_minus_other_is_what_a_double_loop_gives() -> None:
    drop = rng().normal(size=(5, 5))
    own = [drop[i, i] for i in range(5)]
    other = [drop[i, j] for i in range(5) for j in range(5) if i != j]
    assert own_minus_other(drop) == pytest.approx(np.mean(own) - np.mean(other))
    each = [drop[i, i] - np.mean([drop[i, j] for j in range(5) if j != i]) for i in range(5)]
    np.testing.assert_allclose(own_minus_other_each(drop), each)
    assert own_minus_other_each(drop).mean() == pytest.approx(float(own_minus_other(drop)))


def test_one_function_alone_has_no_other() -> None:
    assert np.isnan(own_minus_other(np.ones((1, 1))))
    assert np.isnan(relabelled_rows(np.ones((1, 1)), rng=rng()).p)


def test_the_p_of_relabelled_rows_is_the_share_of_all_orders() -> None:
    drop = rng(3).normal(size=(5, 5)) + 0.5 * np.eye(5)
    seen = own_minus_other(drop)
    every = [own_minus_other(drop[list(order)]) for order in permutations(range(5))]
    found = relabelled_rows(drop, rng=rng())
    assert found.p == pytest.approx(np.mean([value >= seen - 1e-12 for value in every]))
    assert (found.min_p, found.n) == (1 / 120, 120)


def test_many_functions_are_relabelled_at_random() -> None:
    found = relabelled_rows(np.eye(12), rng=rng())
    assert found.p == found.min_p == 1 / 10_000
    constant = relabelled_rows(np.ones((12, 12)), rng=rng())
    assert constant.p == 1.0


def test_without_modules_the_p_is_as_likely_below_any_level() -> None:
    p = [relabelled_rows(rng(seed).normal(size=(5, 5)), rng=rng()).p for seed in range(400)]
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(p) <= level)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / 400)


def test_items_count_for_their_own_function_only() -> None:
    values, function = rng().normal(size=(3, 20)), np.arange(20) % 2
    found = mean_by_function(values, function, 2)
    np.testing.assert_allclose(found[:, 1], values[:, 1::2].mean(axis=1))
    draws = bootstrap_means(values, function, 2, draws=2000, rng=rng())
    sd = values[:, 1::2].std(axis=1) / np.sqrt(10)
    np.testing.assert_allclose(draws.mean(axis=0), found, atol=4 * 1.5 / np.sqrt(10 * 2000))
    np.testing.assert_allclose(draws.std(axis=0)[:, 1], sd, rtol=0.1)


def test_all_sets_see_the_same_draw_of_items() -> None:
    values = np.tile(rng().normal(size=30), (2, 1))
    draws = bootstrap_means(values, np.zeros(30, int), 1, draws=50, rng=rng())
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
