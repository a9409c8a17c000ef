"""Gradients of single examples as vectors: exact ones, of all linear maps side by side."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float32
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from interp.abilities.influence.adam import Direction
from interp.abilities.influence.linear_maps import LinearMaps, backward, linear_maps
from interp.abilities.influence.rows import RowBatch

Vectors = Callable[[RowBatch], Float32[Tensor, "rows dim"]]
_ENTRIES_AT_A_TIME = 1 << 24
_ROWS_AT_A_TIME = 16


class GradientVectors(NamedTuple):
    """How rows become vectors, and of which tensors."""

    of: Vectors
    tensors: tuple[str, ...]
    """Whose gradients are in the vectors."""
    batch_size: int
    """Rows that are taken at a time."""


def exact_gradients(
    model: nn.Module, tensors: dict[str, nn.Parameter], *, direction: Direction | None = None
) -> GradientVectors:
    """Every linear map's gradient of a row's mean loss, weights and biases, flat and in one vector.

    With `direction` its step instead.
    """
    maps = linear_maps(model, tensors)
    used = gradient_tensors(maps, tensors)

    def vectors(batch: RowBatch) -> Tensor:
        found = row_gradients(model, maps, used, batch)
        if direction is not None:
            found = {name: direction(name, gradient) for name, gradient in found.items()}
        return torch.cat([found[name].flatten(1) for name in used], dim=1)

    entries = sum(tensor.numel() for tensor in used.values())
    batch_size = min(_ROWS_AT_A_TIME, max(1, _ENTRIES_AT_A_TIME // entries))
    return GradientVectors(vectors, tuple(used), batch_size)


def gradient_tensors(maps: LinearMaps, tensors: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Weights and biases of the maps, of those that are named."""
    biases = {id(module.bias) for module in maps.values() if module.bias is not None}
    return {n: t for n, t in tensors.items() if n in maps or id(t) in biases}


def row_gradients(
    model: nn.Module, maps: LinearMaps, used: dict[str, nn.Parameter], batch: RowBatch
) -> dict[str, Float32[Tensor, "rows ..."]]:
    """The gradient of every row's own loss by tensor name."""
    device = next(model.parameters()).device
    names = {id(tensor): name for name, tensor in used.items()}
    found = {
        name: torch.zeros(batch.n_rows, *tensor.shape, device=device)
        for name, tensor in used.items()
    }
    owner = batch.owner.to(device)

    def take(name: str, went_in: Tensor, came_back: Tensor) -> None:
        part = einsum(came_back, went_in, "pieces pos d_out, pieces pos d_in -> pieces d_out d_in")
        module = maps[name]
        found[name].index_add_(0, owner, part.mT if isinstance(module, Conv1D) else part)
        if module.bias is not None and id(module.bias) in names:
            found[names[id(module.bias)]].index_add_(0, owner, came_back.sum(1))

    backward(model, maps, batch, take)
    return found
