"""Moments: mean, mean size and variance of every unit over tokens, in one pass that can be cut."""

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import ActivationMoments


class RunningMoments:
    """Moments of every neuron of every layer over the tokens seen so far.

    Merging is exact whatever the split (Chan, Golub and LeVeque 1983), so the number of ranks
    cannot change a result. Sums are float64: a float32 count stops growing at 2^24 tokens.
    """

    def __init__(self, n_layers: int, d_mlp: int) -> None:
        self.n = torch.zeros(n_layers, 1, dtype=torch.float64)
        self.mean, self.mean_abs, self.sum_sq_dev = torch.zeros(
            (3, n_layers, d_mlp), dtype=torch.float64
        )

    def update(self, layer: int, activation: Float[Tensor, "tokens neuron"]) -> None:
        """Take in the activations of some tokens in one layer."""
        if len(activation) == 0:
            return
        values = activation.detach().double()
        mean = values.mean(0)
        self._merge(
            slice(layer, layer + 1),
            n=torch.full((1, 1), float(len(values)), dtype=torch.float64),
            mean=mean.cpu()[None],
            mean_abs=values.abs().mean(0).cpu()[None],
            sum_sq_dev=(values - mean).square().sum(0).cpu()[None],
        )

    def merge(self, other: "RunningMoments") -> None:
        """Take in what another has seen of the same neurons."""
        self._merge(
            slice(None),
            n=other.n,
            mean=other.mean,
            mean_abs=other.mean_abs,
            sum_sq_dev=other.sum_sq_dev,
        )

    def finish(self) -> ActivationMoments:
        """The moments; the variance is unbiased, and 0 of a single token."""
        return ActivationMoments(
            mean=self.mean.numpy().copy(),
            mean_abs=self.mean_abs.numpy().copy(),
            variance=(self.sum_sq_dev / (self.n - 1).clamp(min=1)).numpy(),
            n_tokens=int(self.n.max()),
        )

    def _merge(
        self,
        layers: slice,
        *,
        n: Float[Tensor, "layer 1"],
        mean: Float[Tensor, "layer neuron"],
        mean_abs: Float[Tensor, "layer neuron"],
        sum_sq_dev: Float[Tensor, "layer neuron"],
    ) -> None:
        before = self.n[layers]
        share = n / (before + n).clamp(min=1)
        delta = mean - self.mean[layers]
        self.sum_sq_dev[layers] += sum_sq_dev + delta.square() * before * share
        self.mean[layers] += delta * share
        self.mean_abs[layers] += (mean_abs - self.mean_abs[layers]) * share
        self.n[layers] = before + n
