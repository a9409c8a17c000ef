import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from interp.capture.precision import (
    NOTHING_ROUNDED,
    StoredDtype,
    first_overflow,
    from_bfloat16_words,
    from_disk,
    rounding,
    to_bfloat16_words,
    to_disk,
)

NARROW: list[StoredDtype] = ["float16", "bfloat16"]
FLOATS = arrays(
    np.float32,
    array_shapes(min_dims=1, max_dims=2, max_side=8),
    elements=st.floats(width=32, allow_nan=False),
)


@given(FLOATS)
def test_bfloat16_words_are_torchs(values: np.ndarray) -> None:
    expected = torch.from_numpy(values).to(torch.bfloat16)
    assert np.array_equal(from_bfloat16_words(to_bfloat16_words(values)), expected.float().numpy())


def test_nan_stays_nan_in_bfloat16() -> None:
    words = np.array([0x7FC00000, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(from_bfloat16_words(to_bfloat16_words(words))).all()


@given(FLOATS)
def test_float32_loses_nothing(values: np.ndarray) -> None:
    assert np.array_equal(from_disk(to_disk(values, "float32"), "float32"), values)


@given(st.sampled_from(NARROW), FLOATS)
def test_an_overflow_is_found_exactly_where_torch_makes_an_infinity(
    dtype: StoredDtype, values: np.ndarray
) -> None:
    stored = from_disk(to_disk(values, dtype), dtype)
    narrowed = torch.from_numpy(values).to(getattr(torch, dtype)).isinf().numpy()
    new = narrowed & np.isfinite(values)
    found = first_overflow(values, stored)
    assert (found is not None) == bool(new.any())
    if found is not None:
        assert found[0] == np.argwhere(new)[0][0]


def test_rounding_counts_the_largest_error_the_sum_and_what_became_zero() -> None:
    values = np.array([1.0, 1.0 + 2**-11, 1e-9, 0.0, np.nan], np.float32)
    loss = rounding(values, from_disk(to_disk(values, "float16"), "float16"))
    assert (loss.n, loss.underflow, loss.non_finite) == (5, 1, 1)
    assert loss.max_error == pytest.approx(2**-11)
    assert loss.sum_error == pytest.approx(2**-11 + 1e-9)


@given(FLOATS)
def test_rounding_of_two_halves_merges_to_that_of_the_whole(values: np.ndarray) -> None:
    stored = from_disk(to_disk(values, "bfloat16"), "bfloat16")
    half = len(values) // 2
    merged = rounding(values[:half], stored[:half]).merge(rounding(values[half:], stored[half:]))
    whole = rounding(values, stored).merge(NOTHING_ROUNDED)
    assert merged.sum_error == pytest.approx(whole.sum_error, nan_ok=True)
    assert merged._replace(sum_error=0.0) == whole._replace(sum_error=0.0)
