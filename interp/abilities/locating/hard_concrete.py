"""Hard concrete gates: random gates in [0, 1] that a gradient can close for good.

A gate is a stretched and clipped logistic variable (Louizos et al. 2018, arXiv 1712.01312,
equations 10 and 11), with the stretch, temperature and start that Sheared LLaMA learns its masks
with (arXiv 2310.06694, its released code).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

STRETCH = (-0.1, 1.1)
TEMPERATURE = 2 / 3
START = 5.0
"""Log-odds at the start: all but .14% of the draws of such a gate are above 0."""


def open_probability(logits: Float[Tensor, "*gates"]) -> Float[Tensor, "*gates"]:
    """P(z > 0) = σ(logits − τ · ln(−γ/ζ)) of every gate: its expected value as a 0/1 mask."""
    low, high = STRETCH
    return torch.sigmoid(logits - TEMPERATURE * math.log(-low / high))


def sampled_gates(
    logits: Float[Tensor, "*gates"], generator: torch.Generator
) -> Float[Tensor, "*gates"]:
    """One draw of every gate, differentiable in its logit where it is not clipped.

    z = clip(σ((ln u − ln(1 − u) + logits) / τ) · (ζ − γ) + γ, 0, 1), u uniform.
    """
    low, high = STRETCH
    # Drawn where the generator lives, so that every device sees the same gates.
    u = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    noise = (u.log() - (1 - u).log()).to(logits)
    concrete = torch.sigmoid((noise + logits) / TEMPERATURE)
    return (concrete * (high - low) + low).clamp(0, 1)


def sparsity(logits: Float[Tensor, "*gates"]) -> Float[Tensor, ""]:
    """Expected share of closed gates."""
    return 1 - open_probability(logits).mean()


def lagrangian(
    logits: Float[Tensor, "*gates"], multipliers: Float[Tensor, "2"], *, target: float
) -> Float[Tensor, ""]:
    """λ₁ (ŝ − s) + λ₂ (ŝ − s)², ŝ the expected share of closed gates and s the target.

    The gates descend on it and the multipliers ascend, until the target is met (arXiv 2310.06694,
    section 2.1).
    """
    excess = sparsity(logits) - target
    return multipliers[0] * excess + multipliers[1] * excess.square()


def warmed_target(step: int, *, target: float, warmup: int) -> float:
    """The sparsity asked for at `step` (from 0): from 0 linearly up to the target."""
    return target * min(1.0, step / max(1, warmup))
