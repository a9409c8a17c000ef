"""How sparse one row of activations is, without a threshold, and what its largest neurons carry."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

MIN_OUTPUT = 1e-8
"""Below this norm an output counts as nothing, and no share of it is taken (2402.03804)."""


def effective_count(h: Float[Tensor, "rows neurons"]) -> Float[Tensor, " rows"]:
    """‖h‖₁² / ‖h‖₂²: 1 for a single neuron, N for equal ones; NaN for a row of zeros."""
    size = h.double().abs()
    return size.sum(1).square() / size.square().sum(1)


def hoyer(h: Float[Tensor, "rows neurons"]) -> Float[Tensor, " rows"]:
    """(√N − ‖h‖₁/‖h‖₂) / (√N − 1): 0 for equal neurons, 1 for a single one; NaN for zeros."""
    root = h.shape[1] ** 0.5
    if h.shape[1] < 2:
        return torch.full((len(h),), float("nan"), dtype=torch.float64)
    return ((root - effective_count(h).sqrt()) / (root - 1)).clamp(0.0, 1.0)


class Ranked(NamedTuple):
    """The neurons of every row by falling norm, and the norms added up in that order."""

    order: Int[Tensor, "rows neurons"]
    running: Float64[Tensor, "rows neurons"]


def ranked(norm: Float[Tensor, "rows neurons"]) -> Ranked:
    """Sorted once, for all shares; of equal norms the first neuron comes first."""
    values, order = norm.sort(dim=1, descending=True, stable=True)
    return Ranked(order, values.double().cumsum(1))


def neurons_needed(of: Ranked, share: float) -> Int[Tensor, " rows"]:
    """The fewest neurons whose norms add up to `share` of the row's sum; 0 for a row of zeros."""
    total = of.running[:, -1:]
    # A share is reached up to the rounding of the sum itself.
    wanted = (total * (share - 1e-12)).contiguous()
    needed = torch.searchsorted(of.running, wanted)[:, 0] + 1
    return torch.where(total[:, 0] > 0, needed.clamp(max=of.order.shape[1]), 0)


def kept_largest(of: Ranked, n: Int[Tensor, " rows"]) -> Bool[Tensor, "rows neurons"]:
    """The `n` neurons of each row with the largest norm."""
    place = torch.arange(of.order.shape[1], device=of.order.device).expand_as(of.order)
    kept = torch.zeros(of.order.shape, dtype=torch.bool, device=of.order.device)
    return kept.scatter_(1, of.order, place < n[:, None])


def output_left_out(
    h: Float[Tensor, "rows neurons"],
    kept: Bool[Tensor, "rows neurons"],
    W_out: Float[Tensor, "neurons d_model"],
) -> Float[Tensor, " rows"]:
    """‖Σ_{i not kept} h_i W_out[i]‖ / ‖Σ_i h_i W_out[i]‖ of each row (CETT of 2402.03804).

    NaN where the output's norm is below 1e-8. A sum of vectors: it can fall as more is left out.
    """
    whole = (h @ W_out).double().norm(dim=1)
    rest = (h.masked_fill(kept, 0.0) @ W_out).double().norm(dim=1)
    return torch.where(whole >= MIN_OUTPUT, rest / whole, float("nan"))
