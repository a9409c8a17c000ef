"""Entries of a product through a narrow middle, without the product: blocks of its rows."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ROWS = 64
"""Rows at a time: a block of 64 by 50,000 columns is 13 MB."""
_NOTHING = 1e-6
"""Entries that differ by less than this share of their size differ by rounding alone."""


class Columns(NamedTuple):
    """Some columns of every row, and their entries, largest first."""

    values: Float[Tensor, "rows k"]
    columns: Int[Tensor, "rows k"]


def row_blocks(
    left: Float[Tensor, "rows middle"], right: Float[Tensor, "middle columns"], *, size: int = ROWS
) -> Iterator[tuple[slice, Float[Tensor, "block columns"]]]:
    """The product left @ right, `size` rows at a time, with which rows they are."""
    for start in range(0, len(left), size):
        rows = slice(start, min(start + size, len(left)))
        yield rows, left[rows] @ right


def diagonal(
    left: Float[Tensor, "rows middle"], right: Float[Tensor, "middle rows"]
) -> Float[Tensor, " rows"]:
    """Entry (i, i) of every row."""
    return (left * right.T).sum(-1)


def largest(
    left: Float[Tensor, "rows middle"], right: Float[Tensor, "middle columns"], k: int
) -> Columns:
    """The k largest entries of every row."""
    tops = [block.topk(k, dim=-1) for _, block in row_blocks(left, right)]
    return Columns(
        torch.cat([top.values for top in tops]), torch.cat([top.indices for top in tops])
    )


def among_lowest(
    left: Float[Tensor, "rows middle"],
    right: Float[Tensor, "middle columns"],
    ids: Int[Tensor, "rows ids"],
    k: int,
) -> Bool[Tensor, "rows ids"]:
    """Whether entry (i, ids[i, j]) is one of the k lowest of row i, for every row and id.

    It is when it lies below the (k+1)-th lowest, by more than rounding: where more than k tie,
    none is.
    """
    marks = []
    for rows, block in row_blocks(left, right):
        lowest = block.topk(k + 1, dim=-1, largest=False).values
        slack = _NOTHING * lowest.abs().amax(-1, keepdim=True)
        marks.append(block.gather(1, ids[rows]) < lowest[:, -1:] - slack)
    return torch.cat(marks)


def is_largest(
    left: Float[Tensor, "rows middle"],
    right: Float[Tensor, "middle columns"],
    ids: Int[Tensor, " ids"],
) -> Bool[Tensor, "rows ids"]:
    """Whether column ids[j] holds the largest entry of row i; nowhere in a row all alike."""
    marks = []
    for _, block in row_blocks(left, right):
        top, bottom = block.amax(dim=-1), block.amin(dim=-1)
        varied = top - bottom > _NOTHING * torch.maximum(top.abs(), bottom.abs())
        marks.append((block[:, ids] == top[:, None]) & varied[:, None])
    return torch.cat(marks)
