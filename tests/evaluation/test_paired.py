"""Two models on the same items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.evaluation.paired import PairedTest, newcombe_paired, paired_test
from interp.results.intervals import wilson
from interp.results.significance import mcnemar

counts = st.integers(0, 25)


def test_newcombes_interval_worked_out_by_hand() -> None:
    # 20 both, 12 the first alone, 2 the second alone, 16 neither: shares .64 and .44 of 50.
    first, second = wilson(32, 50), wilson(22, 50)
    phi = (20 * 16 - 12 * 2 - 25) / (32 * 18 * 22 * 28) ** 0.5
    a, b = 0.64 - first.low, second.high - 0.44
    c, d = first.high - 0.64, 0.44 - second.low
    low = 0.2 - (a * a - 2 * phi * a * b + b * b) ** 0.5
    high = 0.2 + (c * c - 2 * phi * c * d + d * d) ** 0.5
    assert newcombe_paired(20, 12, 2, 16) == pytest.approx((0.2, low, high), abs=1e-12)
    assert (low, high) == pytest.approx((0.056, 0.329), abs=5e-4)


@given(counts, counts, counts, counts)
def test_exchanging_the_models_turns_the_interval_round(a: int, b: int, c: int, d: int) -> None:
    one, other = newcombe_paired(a, b, c, d), newcombe_paired(a, c, b, d)
    np.testing.assert_allclose(one, (-other.value, -other.high, -other.low), atol=1e-12)


@given(counts, counts, counts, counts)
def test_the_interval_holds_the_difference_inside_minus_1_and_1(
    a: int, b: int, c: int, d: int
) -> None:
    value, low, high = newcombe_paired(a, b, c, d)
    if a + b + c + d:
        assert -1 - 1e-12 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1 + 1e-12
    else:
        assert np.isnan(value)


def test_newcombe_and_the_bootstrap_cover_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    cells = np.array([0.5, 0.2, 0.1, 0.2])
    covered = []
    for draw in rng.multinomial(150, cells, size=150):
        first = np.repeat([True, True, False, False], draw)
        second = np.repeat([True, False, True, False], draw)
        test = paired_test(first, second, names=("a", "b"), column="c", rng=rng)
        covered.append([low <= 0.1 <= high for _, low, high in (test.difference, test.bootstrap)])
    assert np.all(np.mean(covered, axis=0) >= 0.91) and np.all(np.mean(covered, axis=0) <= 0.99)


def test_a_test_counts_the_discordant_items_and_survives_json() -> None:
    first = np.array([True, True, True, False, False])
    second = np.array([True, False, False, True, False])
    test = paired_test(
        first, second, names=("x", "y"), column="target", rng=np.random.default_rng(0)
    )
    assert (test.only_first, test.only_second, test.n) == (2, 1, 5)
    assert test.p == mcnemar(2, 1) == 1.0
    assert PairedTest.from_json(test.to_json()) == test


def test_models_that_agree_on_every_item_do_not_differ() -> None:
    same = np.array([True, False, True])
    test = paired_test(same, same, names=("x", "y"), column="c", rng=np.random.default_rng(0))
    assert test.p == 1.0
    assert test.difference.value == 0
