"""What goes into every linear map of a model and what comes back, for all rows of a batch at once.

The gradient of a linear map is a sum over positions of what comes back times what went in,
G = sum_t delta_t x_t^T, so rows of one batch are told apart without a pass for each.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from interp.abilities.influence.rows import RowBatch, row_losses
from interp.results.errors import Unsupported

LinearMaps = dict[str, nn.Linear | Conv1D]
"""By the name of their weight."""
Take = Callable[
    [str, Float32[Tensor, "pieces pos d_in"], Float32[Tensor, "pieces pos d_out"]], None
]


def linear_maps(model: nn.Module, tensors: dict[str, nn.Parameter]) -> LinearMaps:
    """The modules whose weight is one of the named tensors. Unsupported if there is none."""
    names = {id(tensor): name for name, tensor in tensors.items()}
    found: LinearMaps = {
        names[id(module.weight)]: module
        for module in model.modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) in names
    }
    if not found:
        raise Unsupported("the model has no linear map whose gradients could be compared")
    return found


def backward(model: nn.Module, maps: LinearMaps, batch: RowBatch, take: Take) -> None:
    """Give `take` every map's inputs and output gradients under the sum of the rows' losses.

    A row's loss depends on its own pieces alone, so these are its own gradients' two factors. A map
    that is used twice is taken twice: its gradient is the sum.
    """
    pieces = batch.owner.numel()

    def take_by_piece(name: str, went_in: Tensor, came_back: Tensor) -> None:
        take(name, _by_piece(went_in, pieces, name), _by_piece(came_back, pieces, name))

    with _watching(model, maps, take_by_piece) as start:
        loss = row_losses(model, batch).sum()
        torch.autograd.grad(loss, start[0])


def d_in_out(module: nn.Linear | Conv1D) -> tuple[int, int]:
    """Sizes of a map's input and output; transformers' Conv1D keeps its input first."""
    first, second = module.weight.shape
    return (first, second) if isinstance(module, Conv1D) else (second, first)


def _by_piece(values: Tensor, pieces: int, name: str) -> Float32[Tensor, "pieces pos width"]:
    """Positions apart from pieces, where a module was given them as one axis."""
    if values.ndim == 3 and values.shape[0] == pieces:
        return values.detach().float()
    if values.ndim == 2 and values.shape[0] % pieces == 0:
        return values.detach().float().reshape(pieces, -1, values.shape[-1])
    raise Unsupported(
        f"{name} is used on {list(values.shape)}, which is not positions by example: its gradients "
        "cannot be told apart"
    )


@contextmanager
def _watching(
    model: nn.Module, maps: LinearMaps, take: Callable[[str, Tensor, Tensor], None]
) -> Iterator[list[Tensor]]:
    """While open, `take` sees every map; weights have no gradient, the embeddings are the start."""
    start: list[Tensor] = []
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}

    def begin(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        start.append(output.detach().requires_grad_(True))
        return start[-1]

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(lambda came_back: take(name, inputs[0], came_back))

        return hook

    embedding: Any = model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
    handles = [embedding.register_forward_hook(begin)]
    handles += [module.register_forward_hook(watch(name)) for name, module in maps.items()]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        yield start
    finally:
        for handle in handles:
            handle.remove()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
