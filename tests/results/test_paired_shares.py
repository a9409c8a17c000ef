"""Newcombe's interval for two shares of the same items."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.results.intervals import wilson
from interp.results.paired_shares import newcombe_paired

counts = st.integers(0, 25)


@pytest.mark.parametrize(
    ("cells", "ends"),
    [
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((20, 12, 2, 16), (0.0562, 0.3292)),
        ((18, 12, 2, 18), (0.0562, 0.3290)),
        ((36, 14, 0, 0), (0.1528, 0.4167)),
        ((35, 14, 0, 1), (0.1461, 0.4175)),
        ((18, 14, 0, 18), (0.1441, 0.3963)),
        ((1, 97, 1, 1), (0.8736, 0.9850)),
        ((0, 30, 0, 0), (0.8395, 1.0)),
        ((54, 0, 0, 0), (-0.0664, 0.0664)),
        ((30, 0, 0, 24), (-0.0358, 0.0358)),
    ],
)
def test_the_intervals_are_those_of_newcombe_1998_table_3_method_10(
    cells: tuple[int, int, int, int], ends: tuple[float, float]
) -> None:
    _, low, high = newcombe_paired(*cells)
    assert (low, high) == pytest.approx(ends, abs=1e-4)


def test_the_interval_worked_out_by_hand() -> None:
    # 20 both, 12 the first alone, 2 the second alone, 16 neither: shares .64 and .44 of 50.
    first, second = wilson(32, 50), wilson(22, 50)
    phi = (20 * 16 - 12 * 2 - 25) / (32 * 18 * 22 * 28) ** 0.5
    a, b = 0.64 - first.low, second.high - 0.44
    c, d = first.high - 0.64, 0.44 - second.low
    low = 0.2 - (a * a - 2 * phi * a * b + b * b) ** 0.5
    high = 0.2 + (c * c - 2 * phi * c * d + d * d) ** 0.5
    assert newcombe_paired(20, 12, 2, 16) == pytest.approx((0.2, low, high), abs=1e-12)


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
