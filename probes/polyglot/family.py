"""Training the five models of polyglot from a recipe and a seed."""

import copy
from collections.abc import Callable, Iterator

import torch
from transformers import LlamaForCausalLM

from interp.models.training import TrainingBatch, adamw, train
from probes.polyglot.languages import LINE_WORDS
from probes.polyglot.mixtures import line_batches
from probes.polyglot.model import new_model
from probes.polyglot.recipe import Recipe, Stage

Progress = Callable[..., None]


def train_base(
    recipe: Recipe, *, seed: int, on_progress: Progress | None = None
) -> LlamaForCausalLM:
    """The base: general operations, A, B and C well, D and E nearly unseen."""
    model = new_model(recipe.shape, seed=seed)
    return train_stage(model, recipe.base, seed=seed, on_progress=on_progress)


def stages(recipe: Recipe, variant: str) -> list[Stage]:
    """The trainings from the base to a variant; the ceiling learns the languages first."""
    if variant == "ceiling":
        return [recipe.language, recipe.ceiling]
    return [getattr(recipe, variant)]


def train_from(
    base: LlamaForCausalLM,
    variant: str,
    recipe: Recipe,
    *,
    seed: int,
    on_progress: Progress | None = None,
) -> LlamaForCausalLM:
    """One of the other four models, trained from the base, which is left as it is."""
    model = copy.deepcopy(base)
    for stage in stages(recipe, variant):
        train_stage(model, stage, seed=seed, on_progress=on_progress)
    return model


def train_stage(
    model: LlamaForCausalLM, stage: Stage, *, seed: int, on_progress: Progress | None = None
) -> LlamaForCausalLM:
    """Train `model` in place on the stage's mixture, with loss on the answer alone."""
    train(
        model,
        answer_batches(stage, seed=seed),
        steps=stage.steps,
        optimizer=_optimizer(model, stage),
        warmup=stage.warmup,
        on_progress=on_progress,
    )
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def answer_batches(stage: Stage, *, seed: int) -> Iterator[TrainingBatch]:
    """The stage's endless batches, with the answer as the only token to predict."""
    target = torch.zeros(stage.batch_size, LINE_WORDS, dtype=torch.bool)
    target[:, -1] = True
    stream = line_batches(
        stage.mixture, batch_size=stage.batch_size, seed=1000 * (seed + 1) + stage.data_seed
    )
    for ids in stream:
        yield TrainingBatch(torch.from_numpy(ids), target)


def _optimizer(model: LlamaForCausalLM, stage: Stage) -> torch.optim.AdamW:
    groups = []
    for in_embeddings, lr in ((False, stage.lr), (True, stage.lr_embeddings)):
        chosen = [
            parameter.requires_grad_(lr > 0)
            for name, parameter in model.named_parameters()
            if name.startswith(("model.embed_tokens", "lm_head")) == in_embeddings
        ]
        if lr > 0:
            groups.append({"params": chosen, "lr": lr})
    return adamw(groups, lr=stage.lr, weight_decay=stage.weight_decay)
