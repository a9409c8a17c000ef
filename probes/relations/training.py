"""Training a model of relations on its world's documents, answers before all else."""

from collections.abc import Callable, Iterator
from itertools import chain, islice

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from interp.models.training import TrainingBatch, adamw, train
from probes.relations.batches import Encoded, batches
from probes.relations.model import new_model
from probes.relations.recipe import Recipe
from probes.relations.vocabulary import PAD
from probes.relations.worlds import World

Save = Callable[[int, PreTrainedModel], None]


def train_model(
    recipe: Recipe,
    world: World,
    *,
    seed: int,
    save: Save,
    on_progress: Callable[..., None] | None = None,
) -> PreTrainedModel:
    """A trained model; `save(step, model)` is called at every checkpoint.

    One thread is assumed for the same weights from the same seed.
    """
    model = new_model(recipe, world, seed=seed)
    done = 0

    def keep() -> None:
        if done in recipe.checkpoints:
            save(done, model)

    def after_step() -> None:
        nonlocal done
        done += 1
        keep()

    keep()
    train(
        model,
        training_batches(recipe, world, seed=seed),
        steps=recipe.steps,
        optimizer=adamw(
            [p for p in model.parameters() if p.requires_grad],
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            betas=(0.9, recipe.beta2),
        ),
        warmup=recipe.warmup,
        clip_norm=recipe.clip_norm,
        loss_of=lambda model, batch: weighted_loss(model, batch, text_weight=recipe.text_weight),
        after_step=after_step,
        on_progress=on_progress,
    )
    return model


def weighted_loss(
    model: nn.Module, batch: TrainingBatch, *, text_weight: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of answers, plus `text_weight` times that of all other words."""
    logits = model(input_ids=batch.tokens[:, :-1], use_cache=False).logits
    to_come, answer = batch.tokens[:, 1:], batch.target[:, 1:]
    loss = functional.cross_entropy(logits[answer], to_come[answer])
    if text_weight == 0:
        return loss
    other = ~answer & (to_come != PAD)
    return loss + text_weight * functional.cross_entropy(logits[other], to_come[other])


def training_batches(recipe: Recipe, world: World, *, seed: int) -> Iterator[TrainingBatch]:
    """The primer, then documents without end; the same seed gives the same."""
    full = batches(
        world.draw,
        world.vocabulary,
        batch_size=recipe.batch_size,
        seed=seed,
        length=world.n_ctx,
    )
    for tokens, answers in chain(_primer(recipe, world, seed=seed), full):
        yield TrainingBatch(torch.from_numpy(tokens), torch.from_numpy(answers))


def _primer(recipe: Recipe, world: World, *, seed: int) -> Iterator[Encoded]:
    if world.primer is None:
        return iter(())
    drawn = batches(
        world.primer,
        world.vocabulary,
        batch_size=recipe.primer_batch_size,
        seed=seed,
        length=world.primer_length,
    )
    return islice(drawn, recipe.primer_steps)
