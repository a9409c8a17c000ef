"""Signs and zeros by the bits of floats: whole-number steps, which are quick in every format.

A mask is all ones or all zeros an entry, in the whole-number type of the float's width.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def as_integers(numbers: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The bits themselves, in place."""
    return numbers.view(INTEGERS[numbers.itemsize])


def size_bits(numbers: Float[Tensor, " entries"]) -> Shaped[Tensor, " entries"]:
    """The bits of |x| as whole numbers, in the order of |x|."""
    integers = as_integers(numbers)
    return integers & torch.iinfo(integers.dtype).max


def reaching(sizes: Shaped[Tensor, " entries"], least: int) -> Shaped[Tensor, " entries"]:
    """The mask of sizes (see `size_bits`) that are at least `least`."""
    return torch.rsub(sizes, least - 1) >> (8 * sizes.itemsize - 1)


def negative(numbers: Float[Tensor, " entries"]) -> Shaped[Tensor, " entries"]:
    """The mask of numbers with a minus sign, -0 among them."""
    return as_integers(numbers) >> (8 * numbers.itemsize - 1)


def not_zero(numbers: Float[Tensor, " entries"]) -> Shaped[Tensor, " entries"]:
    """The mask of numbers that are neither 0 nor -0."""
    return reaching(size_bits(numbers), 1)


def masked(
    numbers: Float[Tensor, "..."], mask: Shaped[Tensor, " entries"]
) -> Float[Tensor, " entries"]:
    """The numbers where the mask is ones, +0 elsewhere; one number stands for as many as needed."""
    return (as_integers(numbers) & mask).view(numbers.dtype)


def one_where_zero_(numbers: Float[Tensor, " entries"]) -> Float[Tensor, " entries"]:
    """1 in place of every 0, in place; there must be no -0."""
    one = torch.ones((), dtype=numbers.dtype)
    as_integers(numbers).bitwise_or_(as_integers(one) & ~not_zero(numbers))
    return numbers
