"""Sketches of gradients: their cosines in a few thousand dimensions, without the gradients.

With two random sign matrices P_out G P_in^T is, like G itself, a sum over positions, but of two
short vectors: sum_t (P_out delta_t)(P_in x_t)^T, so G is never formed. Sketches of several maps
are added: their products estimate the product of the whole gradients, with a standard error of
about 1.5 / sqrt(dim) in a cosine, less where the maps are no wider than the square's side.
"""

import hashlib
import math
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float32
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from interp.abilities.influence.adam import Direction
from interp.abilities.influence.gradients import GradientVectors, row_gradients
from interp.abilities.influence.linear_maps import LinearMaps, backward, d_in_out, linear_maps
from interp.abilities.influence.rows import RowBatch
from interp.results.errors import BadInput

DIM = 8192
_ROWS_AT_A_TIME = 16


class Projection(NamedTuple):
    """The two sign matrices of one linear map, over the root of their number of rows."""

    of_output: Float32[Tensor, "side d_out"]
    of_input: Float32[Tensor, "side d_in"]


def sketch_side(dim: int) -> int:
    """Rows of each sign matrix: sketches have the largest square of dimensions up to `dim`."""
    if dim < 4:
        raise BadInput(f"a sketch of {dim} dimensions: expected 4 or more, as 8192")
    return math.isqrt(dim)


def sketched_gradients(
    model: nn.Module, tensors: dict[str, nn.Parameter], *, dim: int, seed: int
) -> GradientVectors:
    """Sketches of the gradients of every linear map's weight; no other tensor is in them."""
    maps = linear_maps(model, tensors)
    side = sketch_side(dim)
    projections = _projections(maps, side=side, seed=seed)

    def vectors(batch: RowBatch) -> Tensor:
        device = next(model.parameters()).device
        sketch = torch.zeros(batch.n_rows, side, side, device=device)
        owner = batch.owner.to(device)

        def take(name: str, went_in: Tensor, came_back: Tensor) -> None:
            out, into = projections[name]
            part = einsum(
                came_back @ out.T,
                went_in @ into.T,
                "pieces pos out, pieces pos into -> pieces out into",
            )
            sketch.index_add_(0, owner, part)

        backward(model, maps, batch, take)
        return sketch.flatten(1)

    return GradientVectors(vectors, tuple(maps), _ROWS_AT_A_TIME)


def sketched_steps(
    model: nn.Module,
    tensors: dict[str, nn.Parameter],
    direction: Direction,
    *,
    dim: int,
    seed: int,
) -> GradientVectors:
    """The same sketches of steps that are no sum over positions, as Adam's: one row at a time.

    A step needs its whole gradient, which is formed beside the optimizer's two moments of its size.
    """
    maps = linear_maps(model, tensors)
    weights = {name: tensors[name] for name in maps}
    projections = _projections(maps, side=sketch_side(dim), seed=seed)

    def vectors(batch: RowBatch) -> Tensor:
        sketches = []
        for name, gradient in row_gradients(model, maps, weights, batch).items():
            step = direction(name, gradient)
            out, into = projections[name]
            sketches.append(out @ (step.mT if isinstance(maps[name], Conv1D) else step) @ into.T)
        return torch.stack(sketches).sum(0).flatten(1)

    return GradientVectors(vectors, tuple(maps), batch_size=1)


def _projections(maps: LinearMaps, *, side: int, seed: int) -> dict[str, Projection]:
    """Independent matrices for every map, the same for the same seed, side and name."""
    found = {}
    for name, module in maps.items():
        d_in, d_out = d_in_out(module)
        generator = torch.Generator().manual_seed(_seed_of(seed, name))
        drawn = [random_signs(side, width, generator) for width in (d_out, d_in)]
        found[name] = Projection(*(signs.to(module.weight.device) for signs in drawn))
    return found


def random_signs(
    side: int, width: int, generator: torch.Generator
) -> Float32[Tensor, "{side} {width}"]:
    """Random signs over the root of their rows; where they fit, made orthonormal columns.

    Orthonormal columns keep every product within a map as it is; signs keep it on average.
    """
    drawn = torch.randint(0, 2, (side, width), generator=generator, dtype=torch.float32)
    signs = (2 * drawn - 1) / math.sqrt(side)
    if width > side:
        return signs
    # Householder's Q leans to one side: only with R's diagonal plus are its signs a matter of luck.
    found = torch.linalg.qr(signs)
    return torch.where(found.R.diagonal() < 0, -found.Q, found.Q)


def _seed_of(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:7], "little")
