"""Number formats of a store, and what rounding to them loses."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt16

StoredDtype = Literal["float32", "float16", "bfloat16"]

ON_DISK: dict[str, np.dtype] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}
"""Little-endian on every machine; bfloat16, which HDF5 lacks, as its raw 16-bit words."""


class Rounding(NamedTuple):
    """What rounding to a narrower format did to the entries of one site."""

    n: int
    max_error: float
    sum_error: float
    """Sum of absolute errors in float64; over n it is the mean."""
    underflow: int
    """Entries that were not zero and are stored as zero."""
    non_finite: int
    """Entries that were already NaN or infinite in the model; stored as they are."""

    def merge(self, other: "Rounding") -> "Rounding":
        """The same counts over both sets of entries."""
        return Rounding(
            self.n + other.n,
            max(self.max_error, other.max_error),
            self.sum_error + other.sum_error,
            self.underflow + other.underflow,
            self.non_finite + other.non_finite,
        )


NOTHING_ROUNDED = Rounding(0, 0.0, 0.0, 0, 0)


def to_bfloat16_words(values: Float[np.ndarray, "..."]) -> UInt16[np.ndarray, "..."]:
    """The upper halves of float32 words, rounded to nearest, ties to even; NaN stays NaN."""
    words = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (words + (((words >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    quiet_nan = (words >> 16) | np.uint32(0x0040)
    return np.where(np.isnan(values), quiet_nan, rounded).astype(np.uint16)


def from_bfloat16_words(words: UInt16[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The exact float32 values of raw bfloat16 words."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def to_disk(values: Float[np.ndarray, "..."], dtype: StoredDtype) -> np.ndarray:
    """`values` in the on-disk form of `dtype`; what overflows becomes infinite, silently."""
    if dtype == "bfloat16":
        return to_bfloat16_words(values)
    with np.errstate(over="ignore"):
        return values.astype(ON_DISK[dtype], copy=False)


def from_disk(stored: np.ndarray, dtype: StoredDtype) -> Float[np.ndarray, "..."]:
    """What was stored: float32 and float16 as they are, bfloat16 upcast to float32."""
    return from_bfloat16_words(stored) if dtype == "bfloat16" else stored


def rounding(values: Float[np.ndarray, "..."], stored: Float[np.ndarray, "..."]) -> Rounding:
    """Largest and summed absolute error of `stored` against `values`, over finite entries."""
    finite = np.isfinite(values)
    n_finite = int(np.count_nonzero(finite))
    kept = stored.astype(np.float32, copy=False)
    error = np.abs(np.subtract(kept, values, where=finite, out=np.zeros_like(values)))
    return Rounding(
        n=values.size,
        max_error=float(error.max(initial=0.0)),
        sum_error=float(error.sum(dtype=np.float64)),
        underflow=int(np.count_nonzero((values != 0) & (kept == 0))),
        non_finite=values.size - n_finite,
    )


def first_overflow(
    values: Float[np.ndarray, "rows ..."], stored: Float[np.ndarray, "rows ..."]
) -> tuple[int, float] | None:
    """Row and value of the first finite entry that the narrower format holds as infinite."""
    lost = np.isinf(stored) & np.isfinite(values)
    if not lost.any():
        return None
    where = tuple(np.argwhere(lost)[0])
    return int(where[0]), float(values[where])
