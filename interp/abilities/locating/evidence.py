"""Gather what locators score from: short trainings, gradients and inputs, over a whole model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from interp.abilities.locating.example_gradients import example_gradients
from interp.abilities.locating.locator import Locator, TensorEvidence
from interp.abilities.locating.locators.random import PURPOSE
from interp.abilities.masks.uniform import uniform_scores
from interp.abilities.training.masked_training import TrainingRecipe, train_model
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.models.training import TrainingBatch
from interp.results.errors import BadInput

STEPS_PAST_WARMUP = 50
"""Adam's first steps have the size of the rate whatever the gradient: a shorter training ranks
noise."""
EXAMPLES_AT_A_TIME = 128
TOKENS_AT_A_TIME = 1 << 12
"""Of one pass for gradients, with padding."""

Progress = Callable[..., None]
Tensors = dict[str, Float[Tensor, "..."]]


class Gradients(NamedTuple):
    """Moments, over examples, of the gradient of each example's own loss."""

    mean: Tensors
    mean_abs: Tensors
    mean_square: Tensors


def gather_evidence(
    trained: TrainableModel,
    locator: Locator,
    *,
    names: list[str],
    examples: TrainingExamples,
    general: TrainingExamples | None,
    recipe: TrainingRecipe,
    on_progress: Progress | None = None,
) -> dict[str, TensorEvidence]:
    """What `locator` needs, by tensor. The model's weights are as before when it returns."""
    needs = locator.needs
    base = {name: trained.parameters[name].detach().clone() for name in names}
    moved: Tensors | None = None
    general_moved: Tensors | None = None
    gradients: Gradients | None = None
    norms: Tensors | None = None
    noise: Tensors | None = None
    if "change" in needs:
        moved = after_training(trained, examples, names, recipe, on_progress=on_progress)
    if "general_change" in needs:
        if general is None:
            raise BadInput(f"locator {locator.name!r} needs general training data beside the items")
        general_moved = after_training(trained, general, names, recipe, on_progress=on_progress)
    if "gradients" in needs:
        gradients = gradient_moments(trained, examples, names, on_progress=on_progress)
    if "inputs" in needs:
        norms = input_norms(trained, examples, names, recipe.batch_size, on_progress=on_progress)
    if "noise" in needs:
        noise = _noise(base, recipe.seed)
    return {
        name: TensorEvidence(
            base=base[name],
            trained=_of(moved, name),
            general=_of(general_moved, name),
            mean_gradient=_of(gradients and gradients.mean, name),
            mean_abs_gradient=_of(gradients and gradients.mean_abs, name),
            mean_square_gradient=_of(gradients and gradients.mean_square, name),
            input_norm=_of(norms, name),
            noise=_of(noise, name),
        )
        for name in names
    }


def _of(tensors: Tensors | None, name: str) -> Tensor | None:
    return None if tensors is None else tensors[name]


def after_training(
    trained: TrainableModel,
    examples: TrainingExamples,
    names: list[str],
    recipe: TrainingRecipe,
    *,
    on_progress: Progress | None = None,
) -> Tensors:
    """The named tensors after a short training; the model itself is put back.

    Raises BadInput unless at least 50 steps follow the warm-up.
    """
    if recipe.steps < recipe.warmup + STEPS_PAST_WARMUP:
        raise BadInput(
            f"{recipe.steps} steps with {recipe.warmup} of warm-up rank noise: "
            f"train {recipe.warmup + STEPS_PAST_WARMUP} steps or more"
        )
    start = {name: p.detach().clone() for name, p in trained.parameters.items()}
    try:
        train_model(trained, examples, recipe=recipe, on_progress=on_progress)
        return {name: trained.parameters[name].detach().clone() for name in names}
    finally:
        with torch.no_grad():
            for name, parameter in trained.parameters.items():
                parameter.copy_(start[name])
                parameter.grad = None


def gradient_moments(
    trained: TrainableModel,
    examples: TrainingExamples,
    names: list[str],
    *,
    on_progress: Progress | None = None,
) -> Gradients:
    """Mean, mean size and mean square of single examples' gradients at the model's weights.

    Raises BadInput if an example has no token to predict.
    """
    if not bool(examples.target[:, 1:].any(1).all()):
        raise BadInput("an example has no token to predict: its answer or text is empty")
    parameters = {name: trained.parameters[name].requires_grad_(True) for name in names}
    moments = Gradients(
        *({n: torch.zeros_like(p) for n, p in parameters.items()} for _ in range(3))
    )
    device = next(iter(parameters.values())).device

    def add(name: str, gradients: Float[Tensor, "examples ..."]) -> None:
        scale = 1 / len(examples)
        moments.mean[name].add_(gradients.sum(0), alpha=scale)
        moments.mean_abs[name].add_(gradients.abs().sum(0), alpha=scale)
        moments.mean_square[name].add_(gradients.square().sum(0), alpha=scale)

    size = max(1, min(EXAMPLES_AT_A_TIME, TOKENS_AT_A_TIME // examples.tokens.shape[1]))
    for start in range(0, len(examples), size):
        batch = _batch(examples, slice(start, start + size), device)
        example_gradients(trained.model, parameters, batch, add)
        if on_progress is not None:
            on_progress(len(batch.tokens))
    return moments


def input_norms(
    trained: TrainableModel,
    examples: TrainingExamples,
    names: list[str],
    batch_size: int,
    *,
    on_progress: Progress | None = None,
) -> Tensors:
    """For every entry the norm, over all positions of all examples, of the input it multiplies.

    Of a linear map the norm of the entry's input column, in the tensor's shape; of any other
    tensor one. Padding is left out.
    """
    owners = {id(p): name for name, p in trained.parameters.items() if name in set(names)}
    squares: dict[str, Tensor] = {}
    with _watching_inputs(trained.model, owners, squares) as real:
        for start in range(0, len(examples), batch_size):
            rows = slice(start, start + batch_size)
            batch = _batch(examples, rows, next(trained.model.parameters()).device)
            real["positions"] = _real_positions(batch)
            with torch.no_grad():
                trained.model(input_ids=batch.tokens, use_cache=False)
            if on_progress is not None:
                on_progress(len(batch.tokens))
    return {
        name: squares[name].sqrt().expand_as(trained.parameters[name]).clone()
        if name in squares
        else torch.ones_like(trained.parameters[name])
        for name in names
    }


@contextmanager
def _watching_inputs(
    model: nn.Module, owners: dict[int, str], squares: dict[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """While open, sum the squares of every linear map's inputs over the positions in `real`."""
    real: dict[str, Tensor] = {}

    def watch(name: str, axis: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0].reshape(-1, inputs[0].shape[-1])
            kept = (
                rows[real["positions"].flatten()]
                if rows.shape[0] == real["positions"].numel()
                else rows
            )
            total = kept.float().square().sum(0)
            total = total[None, :] if axis == 1 else total[:, None]
            squares[name] = squares.get(name, torch.zeros_like(total)) + total

        return hook

    handles = []
    for module in model.modules():
        weight = getattr(module, "weight", None)
        name = owners.get(id(weight))
        if name is None or isinstance(module, nn.Embedding) or weight is None or weight.ndim != 2:
            continue
        # transformers' Conv1D keeps its matrix input first.
        axis = 1 if isinstance(module, nn.Linear) else 0
        handles.append(module.register_forward_pre_hook(watch(name, axis)))
    try:
        yield real
    finally:
        for handle in handles:
            handle.remove()


def _real_positions(batch: TrainingBatch) -> Tensor:
    """True up to the last target of every row: what follows is padding."""
    return batch.target.flip(1).cumsum(1).flip(1) > 0


def _batch(examples: TrainingExamples, rows: slice, device: torch.device) -> TrainingBatch:
    return TrainingBatch(examples.tokens[rows].to(device), examples.target[rows].to(device))


def _noise(base: Tensors, seed: int) -> Tensors:
    """Uniform numbers by name and place, as a checkpoint at rest gets them."""
    scores = uniform_scores(
        {n: tuple(t.shape) for n, t in base.items()}, seed=seed, purpose=PURPOSE
    )
    return {
        name: torch.from_numpy(np.concatenate([np.empty(0, np.float32), *scores(name)]))
        .reshape(tensor.shape)
        .to(tensor.device)
        for name, tensor in base.items()
    }
