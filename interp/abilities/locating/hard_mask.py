"""Hard masks: a model's loss with all but the chosen units taken out, beside random units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from interp.abilities.locating.sites import GateKind, gated, sites_of
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.models.training import TrainingBatch, next_token_loss

NULL_DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class HardMaskLoss:
    """Loss on the ability when only the chosen units are kept, beside random units."""

    whole: float
    """Of the model as it is, in nats per predicted token."""
    kept: float
    """With every unit that was not chosen taken out."""
    random: Float[np.ndarray, " draws"]
    """The same for random units, as many in all."""
    random_by_layer: Float[np.ndarray, " draws"]
    """The same for random units, as many in every layer; the choice itself for whole layers."""
    n_examples: int

    @property
    def p_value(self) -> float:
        """Share of random choices that do as well or better, (1 + those) / (1 + draws)."""
        return _p_value(self.kept, self.random)

    @property
    def p_value_by_layer(self) -> float:
        """The same against random choices with as many in every layer; 1 for whole layers."""
        return _p_value(self.kept, self.random_by_layer)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "loss_whole": self.whole,
            "loss_kept": self.kept,
            "loss_random_mean": float(self.random.mean()),
            "loss_random_range": [float(self.random.min()), float(self.random.max())],
            "loss_random_by_layer_mean": float(self.random_by_layer.mean()),
            "random_draws": len(self.random),
            "p_value": self.p_value,
            "p_value_by_layer": self.p_value_by_layer,
            "n_examples": self.n_examples,
        }


def hard_mask_loss(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    kind: GateKind,
    chosen: Bool[np.ndarray, "layer unit"],
    draws: int = NULL_DRAWS,
    seed: int = 0,
) -> HardMaskLoss:
    """The loss on `examples` with the units that were not chosen taken out (gate 0, others 1)."""
    rng = np.random.default_rng(seed)

    def loss(kept: Bool[np.ndarray, "layer unit"]) -> float:
        return masked_loss(trained, examples, kind=kind, kept=kept)

    anywhere = [rng.permutation(chosen.reshape(-1)).reshape(chosen.shape) for _ in range(draws)]
    by_layer = [rng.permuted(chosen, axis=1) for _ in range(draws)]
    return HardMaskLoss(
        whole=loss(np.ones_like(chosen)),
        kept=loss(chosen),
        random=np.array([loss(kept) for kept in anywhere]),
        random_by_layer=np.array([loss(kept) for kept in by_layer]),
        n_examples=len(examples),
    )


def _p_value(value: float, drawn: Float[np.ndarray, " draws"]) -> float:
    return float((1 + (drawn <= value).sum()) / (1 + len(drawn)))


@torch.no_grad()
def masked_loss(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    kind: GateKind,
    kept: Bool[np.ndarray, "layer unit"],
    batch_size: int = 256,
) -> float:
    """Mean cross-entropy in nats per predicted token, with only the kept units in the model."""
    sites = sites_of(trained.model)
    device = next(trained.model.parameters()).device
    gates = torch.from_numpy(kept).to(device=device, dtype=torch.float32)
    total, n = 0.0, 0
    with gated(sites, kind, gates):
        for start in range(0, len(examples), batch_size):
            rows = slice(start, start + batch_size)
            target = examples.target[rows]
            batch = TrainingBatch(examples.tokens[rows].to(device), target.to(device))
            here = int(target[:, 1:].sum())
            total += float(next_token_loss(trained.model, batch)) * here
            n += here
    return total / n
