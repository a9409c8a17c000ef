"""The best approximation of a matrix by one of low rank, and how far off it is."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor

EXACT_UP_TO = 4096
"""Smaller dimension up to which all singular values are computed."""
_EXTRA = 16
_POWER_STEPS = 4
_ROWS = 1 << 12


class Factors(NamedTuple):
    """A matrix as the product of a tall and a wide one."""

    tall: Float32[Tensor, "rows rank"]
    wide: Float32[Tensor, "rank columns"]


def low_rank(
    matrix: Float32[Tensor, "rows columns"], *, rank: int, generator: torch.Generator
) -> Factors:
    """U sqrt(S) and sqrt(S) V' of the `rank` largest singular values, padded with zeros beyond.

    Truncating the singular value decomposition is the best approximation of its rank in the
    Frobenius norm (Eckart and Young 1936). Exact where the smaller dimension is at most 4096; above
    that the range is found by random projection on rank + 16 columns and four power steps (Halko,
    Martinsson and Tropp, 0909.4061, algorithm 4.4).
    """
    kept = min(rank, *matrix.shape)
    if min(matrix.shape) <= EXACT_UP_TO:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        left, values, right = _randomised(matrix, kept + _EXTRA, generator)
    root = values[:kept].clamp_min(0).sqrt()
    tall = matrix.new_zeros(matrix.shape[0], rank)
    wide = matrix.new_zeros(rank, matrix.shape[1])
    tall[:, :kept] = left[:, :kept] * root
    wide[:kept] = root[:, None] * right[:kept]
    return Factors(tall, wide)


def squared_residual(matrix: Float32[Tensor, "rows columns"], factors: Factors) -> float:
    """The sum of squares of what the factors miss, in blocks of rows and added in float64."""
    blocks = zip(matrix.split(_ROWS), factors.tall.split(_ROWS), strict=True)
    return float(sum(_square(block - tall @ factors.wide) for block, tall in blocks))


def squared_norm(matrix: Float32[Tensor, "*shape"]) -> float:
    """The sum of squares, added in float64."""
    return float(_square(matrix))


def flat_error(shape: tuple[int, ...], rank: int) -> float:
    """The relative error where all singular values are equal: what an adapter gets from no shape.

    sqrt(1 - rank / min(shape)). A matrix with few entries at random places is close to it.
    """
    return max(0.0, 1.0 - rank / min(shape)) ** 0.5 if min(shape, default=0) else 0.0


def _randomised(
    matrix: Float[Tensor, "rows columns"], width: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    width = min(width, *matrix.shape)
    found = torch.linalg.qr(matrix @ torch.randn(matrix.shape[1], width, generator=generator)).Q
    for _ in range(_POWER_STEPS):
        found = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.mT @ found).Q).Q
    left, values, right = torch.linalg.svd(found.mT @ matrix, full_matrices=False)
    return found @ left, values, right


def _square(matrix: Tensor) -> Tensor:
    return matrix.square().sum(dtype=torch.float64)
