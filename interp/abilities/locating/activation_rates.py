"""Activation rates: on which share of a text's tokens every MLP neuron is on."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from interp.abilities.locating.moments import RunningMoments
from interp.abilities.locating.sites import sites_of, watching_activations, watching_gates
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel

BATCH = 64

Progress = Callable[..., None]


class ActiveCounts:
    """On how many tokens every neuron was on, and how many there were; sums, so cuts merge."""

    def __init__(self, n_layers: int, d_mlp: int) -> None:
        self.active = torch.zeros(n_layers, d_mlp, dtype=torch.int64)
        self.n_tokens = 0

    def update(self, layer: int, gate: Float[Tensor, "tokens neuron"]) -> None:
        """Take in the gates of some tokens in one layer; tokens are counted at layer 0."""
        self.active[layer] += (gate > 0).sum(0).cpu()
        self.n_tokens += len(gate) if layer == 0 else 0

    def merge(self, other: "ActiveCounts") -> None:
        """Take in what another has counted of the same neurons."""
        self.active += other.active
        self.n_tokens += other.n_tokens

    def finish(self) -> Int64[np.ndarray, "layer neuron"]:
        """The counts; their share of `n_tokens` is the rate."""
        return self.active.numpy().copy()


def active_counts(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    batch_size: int = BATCH,
    on_progress: Progress | None = None,
) -> ActiveCounts:
    """Tokens of the examples on which every neuron is on: gate above 0, or activation if ungated.

    All tokens up to the last that is predicted count, prompts too; padding does not.
    """
    sites = sites_of(trained.model)
    counts = ActiveCounts(len(sites.layers), sites.d_mlp)
    for tokens, target in _batches(trained, examples, batch_size):
        real = target.flip(1).cumsum(1).flip(1) > 0
        with watching_gates(sites, _on_tokens(real, counts.update)), torch.no_grad():
            trained.model.base_model(input_ids=tokens, use_cache=False)
        if on_progress is not None:
            on_progress(len(tokens))
    return counts


def activation_moments(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    batch_size: int = BATCH,
    on_progress: Progress | None = None,
) -> RunningMoments:
    """Moments of every neuron's activation over the tokens from which a target is predicted.

    Of prompt and answer these are where the answer is worked out, of plain text all but the last.
    """
    sites = sites_of(trained.model)
    moments = RunningMoments(len(sites.layers), sites.d_mlp)
    for tokens, target in _batches(trained, examples, batch_size):
        predicts = torch.nn.functional.pad(target[:, 1:], (0, 1))
        with watching_activations(sites, _on_tokens(predicts, moments.update)), torch.no_grad():
            trained.model.base_model(input_ids=tokens, use_cache=False)
        if on_progress is not None:
            on_progress(len(tokens))
    return moments


def example_activations(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    batch_size: int = BATCH,
    on_progress: Progress | None = None,
) -> Float32[np.ndarray, "examples layer neuron"]:
    """Every neuron's highest activation over the tokens of each example that predict a target."""
    sites = sites_of(trained.model)
    found = np.empty((len(examples), len(sites.layers), sites.d_mlp), np.float32)
    done = 0
    for tokens, target in _batches(trained, examples, batch_size):
        predicts = torch.nn.functional.pad(target[:, 1:], (0, 1))[..., None]
        rows = found[done : done + len(tokens)]

        def keep(
            layer: int, values: Tensor, *, rows: np.ndarray = rows, predicts: Tensor = predicts
        ) -> None:
            highest = values.masked_fill(~predicts, -torch.inf).amax(dim=1)
            rows[:, layer] = highest.float().cpu().numpy()

        with watching_activations(sites, keep), torch.no_grad():
            trained.model.base_model(input_ids=tokens, use_cache=False)
        done += len(tokens)
        if on_progress is not None:
            on_progress(len(tokens))
    return found


def _on_tokens(
    counted: Bool[Tensor, "batch pos"], update: Callable[[int, Tensor], None]
) -> Callable[[int, Tensor], None]:
    return lambda layer, values: update(layer, values[counted])


def _batches(trained: TrainableModel, examples: TrainingExamples, size: int):
    device = next(trained.model.parameters()).device
    for start in range(0, len(examples), size):
        rows = slice(start, start + size)
        target = examples.target[rows].to(device)
        end = int(target.any(0).nonzero().max()) + 1
        yield examples.tokens[rows, :end].to(device), target[:, :end]
