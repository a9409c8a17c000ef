"""A short training at whose checkpoints influence is measured, as LESS does (2402.04333, §3.1)."""

from collections.abc import Callable

import torch

from interp.abilities.influence.adam import Moments, moments_of
from interp.abilities.training.masked_training import TrainingRecipe
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.models.training import adamw, shuffled_training_batches, train, warmup_cosine
from interp.results.errors import BadInput

AtCheckpoint = Callable[[int, Moments], object]
"""Called with the checkpoint's number and the optimizer's state, the model standing as it is."""


def mean_rates(recipe: TrainingRecipe, checkpoints: int) -> list[float]:
    """The mean learning rate of the steps before every checkpoint since the last one."""
    rates = [
        recipe.lr * warmup_cosine(step, steps=recipe.steps, warmup=recipe.warmup)
        for step in range(recipe.steps)
    ]
    ends = [0, *checkpoint_steps(recipe.steps, checkpoints)]
    return [
        sum(rates[start:end]) / (end - start) for start, end in zip(ends, ends[1:], strict=False)
    ]


def checkpoint_steps(steps: int, checkpoints: int) -> list[int]:
    """After how many steps every checkpoint is taken: evenly, the last at the end."""
    if not 1 <= checkpoints <= steps:
        raise BadInput(f"{checkpoints} checkpoints in {steps} steps: expected from 1 to {steps}")
    return [steps * (i + 1) // checkpoints for i in range(checkpoints)]


def train_with_checkpoints(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    recipe: TrainingRecipe,
    checkpoints: int,
    at_checkpoint: AtCheckpoint,
) -> None:
    """Train the model in place, and stop at every checkpoint for what is to be done there."""
    frozen = trained.embeddings if recipe.freeze_embeddings else frozenset()
    free = {name: p for name, p in trained.parameters.items() if name not in frozen}
    for name, parameter in trained.parameters.items():
        parameter.requires_grad_(name in free)
    optimizer = adamw(list(free.values()), lr=recipe.lr, weight_decay=recipe.weight_decay)
    stops = checkpoint_steps(recipe.steps, checkpoints)
    done = 0

    def after_step() -> None:
        nonlocal done
        done += 1
        if done in stops:
            at_checkpoint(stops.index(done), moments_of(optimizer, free))

    train(
        trained.model,
        shuffled_training_batches(
            examples.tokens,
            examples.target,
            batch_size=recipe.batch_size,
            generator=torch.Generator().manual_seed(recipe.seed),
        ),
        steps=recipe.steps,
        optimizer=optimizer,
        warmup=recipe.warmup,
        clip_norm=recipe.clip_norm,
        after_step=after_step,
    )
