"""Training the two siblings: the same start and the same data, and another penalty."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from interp.models.training import TrainingBatch, adamw, next_token_loss, train
from probes.functions.blocks import known_blocks
from probes.functions.model import new_model
from probes.functions.recipe import Recipe
from probes.functions.tasks import (
    ANSWER_START,
    FIRST_FUNCTION,
    FUNCTION_POSITION,
    FUNCTIONS,
    LENGTH,
    batches,
)

Save = Callable[[int, GPT2LMHeadModel], None]


def penalties(sibling: str, recipe: Recipe, *, seed: int) -> Float[Tensor, "functions layers d"]:
    """What a unit of activation of each neuron costs in a sequence that asks each function."""
    shape = (len(FUNCTIONS), recipe.n_layers, recipe.d_mlp)
    if sibling == "control":
        return torch.full(shape, recipe.control_penalty)
    blocks = torch.from_numpy(known_blocks(seed))
    outside = blocks[None] != torch.arange(len(FUNCTIONS))[:, None, None]
    return recipe.planted_penalty * outside.float()


def train_sibling(
    sibling: str,
    recipe: Recipe,
    *,
    seed: int,
    save: Save,
    on_progress: Callable[..., None] | None = None,
) -> GPT2LMHeadModel:
    """The planted or the control sibling; `save(step, model)` is called at every checkpoint.

    One thread is assumed for the same weights from the same seed.
    """
    model = new_model(recipe, seed=seed)
    optimizer = adamw(
        model.parameters(),
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        betas=(0.9, recipe.beta2),
    )
    cost = penalties(sibling, recipe, seed=seed)
    done = 0

    def keep() -> None:
        if done in recipe.checkpoints:
            save(done, model)

    def raise_rate() -> None:
        """The loop's cosine ends at 0, ours at a share of the rate."""
        for group in optimizer.param_groups:
            floor = recipe.final_share
            group["lr"] = floor * recipe.lr + (1 - floor) * group["lr"]

    def after_step() -> None:
        nonlocal done
        done += 1
        keep()

    keep()
    with recorded_activations(model) as activations:

        def loss_of(model: nn.Module, batch: TrainingBatch) -> Float[Tensor, ""]:
            activations.clear()
            loss = next_token_loss(model, batch)
            return loss + penalty(torch.stack(activations, dim=2), batch.tokens, cost)

        train(
            model,
            _batches(recipe, seed=seed),
            steps=recipe.steps,
            optimizer=optimizer,
            warmup=recipe.warmup,
            loss_of=loss_of,
            before_step=raise_rate,
            after_step=after_step,
            on_progress=on_progress,
        )
    return model


def penalty(
    activations: Float[Tensor, "batch pos layers d"],
    tokens: Int[Tensor, "batch length"],
    cost: Float[Tensor, "functions layers d"],
) -> Float[Tensor, ""]:
    """Mean over tokens after BOS of the cost of their activations, under the function asked."""
    function = tokens[:, FUNCTION_POSITION] - FIRST_FUNCTION
    return torch.einsum("bpld,bld->bp", activations[:, 1:], cost[function]).mean()


@contextmanager
def recorded_activations(model: GPT2LMHeadModel) -> Iterator[list[Tensor]]:
    """A list to which every forward pass adds the neurons' activations, layer by layer."""
    found: list[Tensor] = []
    neurons = [
        model.get_submodule(f"transformer.h.{i}.mlp.act") for i in range(model.config.n_layer)
    ]
    handles = [act.register_forward_hook(lambda *seen: found.append(seen[-1])) for act in neurons]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _batches(recipe: Recipe, *, seed: int) -> Iterator[TrainingBatch]:
    target = torch.zeros(recipe.batch_size, LENGTH, dtype=torch.bool)
    target[:, ANSWER_START:] = True
    for ids in batches(batch_size=recipe.batch_size, seed=seed):
        yield TrainingBatch(torch.from_numpy(ids), target)
