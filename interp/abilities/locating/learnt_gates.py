"""Learnt gates: which units a model can lose, and how many, before its loss on an ability rises."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from interp.abilities.locating.hard_concrete import (
    START,
    lagrangian,
    open_probability,
    sampled_gates,
    sparsity,
    warmed_target,
)
from interp.abilities.locating.hard_mask import hard_mask_loss
from interp.abilities.locating.sites import GateKind, gated, sites_of
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.models.training import TrainingBatch, next_token_loss, shuffled_training_batches
from interp.results.errors import BadInput

GATED: dict[str, GateKind] = {
    "neuron": "neuron",
    "head": "head",
    "q_head": "head",
    "layer": "layer",
}
"""Which gate stands for a kind of unit; a whole head has that of its query head."""
GATE_STEPS = 4
"""Steps of learning gates for every step of a short training: they go a long way each."""
HELD_OUT_EVERY = 10
MOST_HELD_OUT = 1000


@dataclass(frozen=True, kw_only=True)
class GateRecipe:
    """How gates are learnt; weights stay as they are."""

    steps: int = 400
    batch_size: int = 128
    lr: float = 0.1
    """Adam, of the gates' log-odds."""
    lr_multipliers: float = 1.0
    """Adam, ascending."""
    warmup_share: float = 0.5
    """Share of the steps over which the target sparsity rises from 0."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LearntGates:
    """Gates of one kind of unit, layer by unit."""

    kind: GateKind
    open_probability: Float[np.ndarray, "layer unit"]
    """P(gate > 0): 1 for a unit that the ability needs, 0 for one it can do without."""
    target_sparsity: float
    sparsity: float
    """Expected share of closed gates at the end."""


def learn_gates(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    kind: GateKind,
    target_sparsity: float,
    recipe: GateRecipe,
    on_progress: Callable[..., None] | None = None,
) -> LearntGates:
    """Gates that keep the loss on `examples` low while `target_sparsity` of them close.

    Loss plus `lagrangian`, gates drawn anew every step. Raises BadInput unless 0 < target < 1.
    """
    if not 0 < target_sparsity < 1:
        raise BadInput(f"a share of {1 - target_sparsity:g} leaves no unit to choose between")
    sites, model = sites_of(trained.model), trained.model
    device = next(model.parameters()).device
    n_layers = len(sites.layers)
    logits = torch.full((n_layers, sites.per_layer(kind)), START, requires_grad=True, device=device)
    multipliers = torch.zeros(2, requires_grad=True, device=device)
    optimizer = torch.optim.Adam(
        [
            {"params": [logits], "lr": recipe.lr},
            {"params": [multipliers], "lr": recipe.lr_multipliers, "maximize": True},
        ]
    )
    noise = torch.Generator().manual_seed(recipe.seed)
    batches = shuffled_training_batches(
        examples.tokens,
        examples.target,
        batch_size=recipe.batch_size,
        generator=torch.Generator().manual_seed(recipe.seed),
    )
    with _frozen(model):
        for step in range(recipe.steps):
            batch = next(batches)
            batch = TrainingBatch(batch.tokens.to(device), batch.target.to(device))
            target = warmed_target(
                step, target=target_sparsity, warmup=int(recipe.steps * recipe.warmup_share)
            )
            with gated(sites, kind, sampled_gates(logits, noise)):
                loss = next_token_loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            (loss + lagrangian(logits, multipliers, target=target)).backward()
            optimizer.step()
            if on_progress is not None:
                on_progress(1)
    with torch.no_grad():
        return LearntGates(
            kind=kind,
            open_probability=open_probability(logits.double()).cpu().numpy(),
            target_sparsity=target_sparsity,
            sparsity=float(sparsity(logits)),
        )


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """While open, no weight gathers a gradient."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def learning_part(examples: TrainingExamples) -> TrainingExamples:
    """The examples that gates are learnt on: all but every tenth."""
    return _rows(examples, torch.arange(len(examples)) % HELD_OUT_EVERY != 0)


def held_out_part(examples: TrainingExamples) -> TrainingExamples:
    """Every tenth example, for the loss of a mask; at most 1,000."""
    return _rows(examples, torch.arange(len(examples))[::HELD_OUT_EVERY][:MOST_HELD_OUT])


def _rows(examples: TrainingExamples, rows: Tensor) -> TrainingExamples:
    return TrainingExamples(tokens=examples.tokens[rows], target=examples.target[rows])


def gate_report(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    kind: str,
    open_probability: Float[np.ndarray, "layer unit"],
    chosen: Bool[np.ndarray, "layer unit"],
    seed: int,
) -> dict[str, Any]:
    """What a learnt mask achieves, on examples that its gates did not see; JSON values."""
    held_out = held_out_part(examples)
    loss = hard_mask_loss(trained, held_out, kind=GATED[kind], chosen=chosen, seed=seed)
    return {
        "sparsity_asked": 1 - float(chosen.mean()),
        "sparsity_reached": 1 - float(open_probability.mean()),
        **loss.to_json(),
    }
