"""What an expert contributes at a token, and how much of it a choice of experts captures."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp.modules.routing.router import Layer, Scorer

Measure = Literal["mass", "norm"]
"""mass: sum of positive activations (2110.01786), for ReLU. norm: length of what the expert writes,
for activations of both signs."""


def activation_mass(
    h: Float[Tensor, "rows neurons"], layer: Layer
) -> Float[Tensor, "rows experts"]:
    """s_e = Σ_{n in e} max(h_n, 0), the score of 2110.01786."""
    sums = h.new_zeros((len(h), layer.n_experts))
    return sums.index_add_(1, layer.labels.to(h.device), h.clamp(min=0))


def output_norm(h: Float[Tensor, "rows neurons"], layer: Layer) -> Float[Tensor, "rows experts"]:
    """s_e = ‖Σ_{n in e} h_n W_out[n]‖: exactly what the output lacks without the expert."""
    written = []
    for expert in range(layer.n_experts):
        members = (layer.labels == expert).nonzero()[:, 0]
        rows = layer.W_out[members].to(h)
        written.append((h[:, members.to(h.device)] @ rows).norm(dim=1))
    return torch.stack(written, dim=1)


def measured_by(measure: Measure, layer: Layer) -> Scorer:
    """The true score of every expert from the activations of the layer."""
    of = activation_mass if measure == "mass" else output_norm
    return lambda h: of(h, layer)


def captured(
    true: Float[Tensor, "rows experts"], predicted: Float[Tensor, "rows experts"]
) -> Float[Tensor, "rows experts"]:
    """Share of Σ_e s_e that the best 1, 2, ..., E experts by `predicted` hold, a column each.

    NaN in rows where nothing is to be captured. The last column is 1.
    """
    order = predicted.sort(dim=1, descending=True, stable=True).indices
    held = true.double().gather(1, order).cumsum(dim=1)
    whole = held[:, -1:]
    share = torch.where(whole > 0, held / whole, torch.nan)
    share[:, -1] = torch.where(whole[:, 0] > 0, 1.0, torch.nan)
    return share.to(torch.float64)
