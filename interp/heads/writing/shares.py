"""How much of what a head raises is the token it attends to."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

NOTHING = 1e-6
"""Logits that differ by less than this share of their size are rounding: nothing is raised."""


def raised_shares(
    logits: Float[Tensor, "*rows tokens"],
) -> Float[Tensor, "*rows tokens"]:
    """Each token's part of all that is raised above the mean; sums to 1, or 0 where nothing is.

    q(t) = max(0, l(t) - mean l), share = q(t) / sum q   (arXiv 2209.11895, appendix on copying)
    """
    above = (logits - logits.mean(-1, keepdim=True)).clamp_min(0)
    flat = logits.amax(-1, keepdim=True) - logits.amin(-1, keepdim=True) <= NOTHING * (
        logits.abs().amax(-1, keepdim=True)
    )
    total = above.sum(-1, keepdim=True)
    return torch.where(flat, 0.0, above / torch.where(flat, 1.0, total))


def attended_shares(
    attention: Float[Tensor, "*rows queries tokens"],
    shares: Float[Tensor, "*rows queries tokens"],
    others: Int[Tensor, "labels tokens"],
) -> Float[Tensor, "*rows labels tokens"]:
    """Attention to each token times the share of `others` in its place, summed over queries.

    Label 0 asks about the token itself, another about tokens that the head did not attend to.
    """
    return torch.stack([(attention * shares[..., one]).sum(-2) for one in others], dim=-2)
