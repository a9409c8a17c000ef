"""What is NaN or infinite is named by its own row, and only where it is used."""

import numpy as np
import pytest

from interp.capture.finite import refuse_not_finite
from interp.results.errors import BadInput


def test_the_row_is_named_by_its_number_whether_counted_or_listed():
    rows = np.zeros((3, 4), np.float32)
    refuse_not_finite(rows, "site", 10, "store")
    rows[1, 2] = -np.inf
    with pytest.raises(BadInput, match="site is -inf in row 11, unit 2"):
        refuse_not_finite(rows, "site", 10, "store")
    with pytest.raises(BadInput, match="site is -inf in row 40, unit 2"):
        refuse_not_finite(rows, "site", np.array([7, 40, 41]), "store")


def test_large_numbers_whose_sum_overflows_are_finite():
    refuse_not_finite(np.full((2, 2), 3e38, np.float32), "site", 0, "store")
