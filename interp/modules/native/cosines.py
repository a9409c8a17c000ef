"""Whether experts' weights are alike, neuron by neuron in their own order."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from interp.modules.native.blocks import NativeBlock


class Cosines(NamedTuple):
    """Cosine of the weights of every pair of experts, and its null."""

    cosine: Float64[np.ndarray, "experts experts"]
    null_mean: Float64[np.ndarray, "experts experts"]
    null_sd: Float64[np.ndarray, "experts experts"]


@torch.no_grad()
def weight_cosines(block: NativeBlock, *, rng: np.random.Generator, shuffles: int) -> Cosines:
    """Cosine of all weights of every two experts of `block`, and of shuffled ones.

    Experts that were copied from one network and trained apart (sparse upcycling) keep the order
    of their neurons and stand far above the null; independent ones do not.
    """
    flat = torch.stack([_rows(block, e) for e in range(block.n_experts)])
    flat = flat / flat.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]
    draws = [
        _products(flat, flat[:, torch.from_numpy(rng.permutation(block.n_neurons))])
        for _ in range(shuffles)
    ]
    null = torch.stack(draws).double().cpu().numpy()
    spread = null.std(axis=0, ddof=1) if shuffles > 1 else np.full(null.shape[1:], np.nan)
    return Cosines(_products(flat, flat).double().cpu().numpy(), null.mean(axis=0), spread)


def _rows(block: NativeBlock, e: int) -> Float[Tensor, "neurons width"]:
    """Every weight of each neuron in a row: gate and up, and down."""
    weights = block.expert(e)
    parts = [p for p in (weights.W_gate, weights.W_in) if p is not None]
    return torch.cat([*parts, weights.W_out.T], dim=1).float()


def _products(
    a: Float[Tensor, "experts neurons width"], b: Float[Tensor, "experts neurons width"]
) -> Float[Tensor, "experts experts"]:
    return a.flatten(1) @ b.flatten(1).T
