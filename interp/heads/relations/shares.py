"""Shares: how much of what a head raises, among some candidate tokens, is a given one.

    q_t = max(0, w_t - mean_K w),   a = q_o / sum_K q        (arXiv 2402.13055, eq. 2 and 3)

w are the logits that a write adds to the candidates K, or their softmax. Shares over K sum to 1, so
a candidate drawn uniformly has expectation exactly 1/n. Logits give the same shares after any
rescaling and shift, probabilities after a shift; normalising over K or over the vocabulary makes no
difference to either.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_FLAT = 1e-6


def raised_shares(
    values: Float[Tensor, "pairs n"], mask: Bool[Tensor, "pairs n"]
) -> Float[Tensor, "pairs n"]:
    """Each candidate's share of what stands above the mean; 0 outside `mask`."""
    kept = values.masked_fill(~mask, 0.0)
    mean = kept.sum(dim=-1, keepdim=True) / mask.sum(dim=-1, keepdim=True)
    above = (values - mean).clamp(min=0.0).masked_fill(~mask, 0.0)
    return above / above.sum(dim=-1, keepdim=True)


def probabilities(
    logits: Float[Tensor, "pairs n"], mask: Bool[Tensor, "pairs n"]
) -> Float[Tensor, "pairs n"]:
    """Softmax over the candidates, in float64: small logits leave differences of 1e-7."""
    return torch.softmax(logits.double().masked_fill(~mask, -torch.inf), dim=-1)


def undefined(
    logits: Float[Tensor, "pairs n"], mask: Bool[Tensor, "pairs n"]
) -> Bool[Tensor, " pairs"]:
    """Where the logits differ by rounding only: a head that writes nothing has no share.

    max - min < 1e-6 max(1, max |l|) over the candidates; without it such a head would get 1/n or
    any other number from noise. A single candidate is undefined as well.
    """
    high = logits.masked_fill(~mask, -torch.inf).amax(dim=-1)
    low = logits.masked_fill(~mask, torch.inf).amin(dim=-1)
    size = torch.maximum(high.abs(), low.abs()).clamp(min=1.0)
    return high - low < _FLAT * size


def raise_over_others(
    logits: Float[Tensor, "pairs n"], mask: Bool[Tensor, "pairs n"], tail: Int[Tensor, " pairs"]
) -> Float[Tensor, " pairs"]:
    """The tail's logit minus the mean of the other candidates': nats, whatever the read."""
    own = logits.gather(1, tail[:, None])[:, 0]
    total = logits.masked_fill(~mask, 0.0).sum(dim=-1)
    return own - (total - own) / (mask.sum(dim=-1) - 1)


def label_shares(
    shares: Float[Tensor, "pairs n"], labels: Int[Tensor, "pairs labels"]
) -> Float[Tensor, "pairs labels"]:
    """The shares of true tail and control tails; 0 where a label is -1."""
    return shares.gather(1, labels.clamp(min=0)).masked_fill(labels < 0, 0.0)
