"""The gradient of every example's own loss, of a batch at a time where that is exact.

What a module without submodules does to one example depends on that example alone, so its
parameters' gradient for each follows from what went in and what came back of that example: one
pass serves the batch. Of a linear map it is sum_t delta_t x_t^T; of any other module (a norm, a
table) its own backward pass, example by example. Parameters that a batch does not tell apart
(experts given tokens of all examples, tables of positions) take a pass for each example.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from transformers.pytorch_utils import Conv1D

from interp.models.training import TrainingBatch, next_token_loss

ENTRIES_AT_A_TIME = 1 << 18
"""Numbers of single examples' gradients that are held at once, few enough to stay in a core's
cache; one example may have more."""

Take = Callable[[str, Float[Tensor, "examples ..."]], None]
"""Some examples' gradients of one tensor, the name first."""


class _Use(NamedTuple):
    """One call of a module on a batch."""

    module: nn.Module
    went_in: Tensor
    came_back: Tensor


def example_gradients(
    model: nn.Module, parameters: Mapping[str, Tensor], batch: TrainingBatch, take: Take
) -> None:
    """Give `take` every parameter's gradient of every example's mean loss, some examples a time.

    A parameter that the loss does not depend on may be left out: its gradient is zero.
    """
    uses, apart = _uses(model, parameters, batch)
    for name, of_name in uses.items():
        n_entries = parameters[name].numel()
        step = max(1, ENTRIES_AT_A_TIME // max(n_entries, 1))
        for start in range(0, len(batch.tokens), step):
            rows = slice(start, start + step)
            found = (_gradients(use, parameters[name], rows) for use in of_name)
            take(name, reduce(torch.add, found))
    if apart:
        _one_by_one(model, {name: parameters[name] for name in apart}, batch, take)


def _uses(
    model: nn.Module, parameters: Mapping[str, Tensor], batch: TrainingBatch
) -> tuple[dict[str, list[_Use]], list[str]]:
    """Every call of the parameters' modules, by name, and the names that examples share."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    owners = [
        (module, owned)
        for module in model.modules()
        if (owned := [names[id(p)] for p in module.parameters(recurse=False) if id(p) in names])
    ]
    uses: dict[str, list[_Use]] = {name: [] for name in parameters}
    mixed = set(parameters) - {name for _, owned in owners for name in owned}
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    shape = (len(batch.tokens), batch.tokens.shape[1] - 1)

    def watch(owned: list[str]) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            given = inputs[0] if len(inputs) == 1 else None
            if (
                isinstance(given, Tensor)
                and isinstance(output, Tensor)
                and not any(True for _ in module.children())
                and tuple(given.shape[:2]) == tuple(output.shape[:2]) == shape
            ):
                calls.append((module, given.detach(), output))
            else:
                mixed.update(owned)

        return hook

    with _hooked((module, watch(owned)) for module, owned in owners):
        loss = _sum_of_means(model, batch)
    outputs = [output for *_, output in calls]
    came_back = torch.autograd.grad(loss, outputs, allow_unused=True) if outputs else ()
    owned_by = dict(owners)
    for (module, went_in, _), back in zip(calls, came_back, strict=True):
        if back is not None:
            for name in owned_by[module]:
                uses[name].append(_Use(module, went_in, back.detach()))
    return {n: u for n, u in uses.items() if u and n not in mixed}, sorted(mixed)


def _sum_of_means(model: nn.Module, batch: TrainingBatch) -> Float[Tensor, ""]:
    """The sum of the examples' losses, each the mean over its targets, as `next_token_loss`."""
    scored = batch.target[:, 1:]
    logits = model(input_ids=batch.tokens[:, :-1], use_cache=False).logits
    losses = nn.functional.cross_entropy(
        logits[scored].float(), batch.tokens[:, 1:][scored], reduction="none"
    )
    per_target = scored.sum(1, keepdim=True).expand_as(scored)[scored]
    return (losses / per_target).sum()


def _gradients(use: _Use, parameter: Tensor, rows: slice) -> Float[Tensor, "examples ..."]:
    module, went_in, came_back = use.module, use.went_in[rows], use.came_back[rows]
    if isinstance(module, nn.Linear | Conv1D):
        if parameter is module.bias:
            return came_back.flatten(1, -2).sum(1)
        sizes = (
            "examples pos d_in, examples pos d_out -> examples d_in d_out"
            if isinstance(module, Conv1D)
            else "examples pos d_in, examples pos d_out -> examples d_out d_in"
        )
        return einsum(went_in.flatten(1, -2), came_back.flatten(1, -2), sizes)
    own = {name: p.detach() for name, p in module.named_parameters(recurse=False)}
    place = next(n for n, p in module.named_parameters(recurse=False) if p is parameter)

    def weighted(value: Tensor, x: Tensor, back: Tensor) -> Tensor:
        return (functional_call(module, {**own, place: value}, (x[None],)) * back[None]).sum()

    return vmap(grad(weighted), in_dims=(None, 0, 0))(own[place], went_in, came_back)


def _one_by_one(
    model: nn.Module, parameters: Mapping[str, Tensor], batch: TrainingBatch, take: Take
) -> None:
    for row in range(len(batch.tokens)):
        single = TrainingBatch(batch.tokens[row : row + 1], batch.target[row : row + 1])
        loss = next_token_loss(model, single)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, found, strict=True):
            if gradient is not None:
                take(name, gradient[None])


@contextmanager
def _hooked(hooks: Iterator[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
