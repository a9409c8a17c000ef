"""Between the bits of a file and the numbers one computes with: up exactly, down rounding once."""

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

FLOATS = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Formats that arithmetic is defined for; 8-bit floats have scales that we do not know."""


def to_numbers(words: Shaped[np.ndarray, " entries"], dtype: str) -> Float[Tensor, " entries"]:
    """The numbers that `words` stand for, in float32 (float64 for F64); exact."""
    numbers = torch.from_numpy(words)
    if dtype == "BF16":
        numbers = numbers.view(torch.bfloat16)
    return numbers.to(torch.float64 if dtype == "F64" else torch.float32)


def to_words(numbers: Float[Tensor, " entries"], dtype: str) -> Shaped[np.ndarray, " entries"]:
    """`numbers` rounded once, to nearest even, as the bits of `dtype`."""
    rounded = numbers.to(FLOATS[dtype])
    if dtype == "BF16":
        return rounded.view(torch.uint16).numpy()
    return rounded.numpy()


def not_finite_at(numbers: Float[Tensor, " entries"], dtype: str) -> Int64[np.ndarray, " bad"]:
    """Where `numbers`, once rounded to `dtype`, are NaN or infinite. Cheap when nowhere."""
    if numbers.numel() == 0:
        return np.empty(0, dtype=np.int64)
    # Rounding is monotone, so the ends tell whether anything overflows; NaN passes through both.
    ends = torch.stack(torch.aminmax(numbers)).to(FLOATS[dtype])
    if bool(torch.isfinite(ends).all()):
        return np.empty(0, dtype=np.int64)
    return torch.nonzero(~torch.isfinite(numbers.to(FLOATS[dtype]))).flatten().numpy()
