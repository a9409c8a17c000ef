"""Copy-suppression-preserving ablation: what a head writes when only suppression is left of it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def preserved_write(
    attention: Float[Tensor, "query key"],
    written: Float[Tensor, "key d_model"],
    mean: Float[Tensor, " d_model"],
    directions: Float[Tensor, "key d_model"],
    kept: Bool[Tensor, "query key"],
) -> Float[Tensor, "query d_model"]:
    """The head's output at each query with all but suppression replaced by its mean output.

    `written[k]` is v_k W_O, so A[j, k] written[k] is what source k gives to query j. Of its
    difference from A[j, k] mean, only the part against `directions[k]` (a unit vector, the
    unembedding of token k) stays, and only for the sources `kept`:

        mean + sum over kept k of A[j, k] min(0, (written[k] - mean) . e_k) e_k

    With nothing kept it is the mean output, mean ablation. The projection is that of arXiv
    2310.04625, section 3.3; there the mean is taken by position, here over all of them.
    """
    size = ((written - mean) * directions).sum(-1).clamp_max(0)
    return mean + (attention * kept) @ (size[:, None] * directions)


def most_predicted(
    lens: Float[Tensor, "query key"],
    visible: Bool[Tensor, "query key"],
    share: float,
) -> Bool[Tensor, "query key"]:
    """For each query the `share` of visible sources whose token is most predicted, at least one.

    `lens[j, k]` is the logit of token k by the logit lens at query j, before the head's block.
    """
    n = visible.sum(-1)
    wanted = torch.where(n > 0, (share * n).ceil().clamp_min(1), 0)
    order = lens.masked_fill(~visible, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    rank = order.argsort(dim=-1)
    return (rank < wanted[:, None]) & visible


def kl_divergence(
    logits: Float[Tensor, "rows d_vocab"], other: Float[Tensor, "rows d_vocab"]
) -> Float[Tensor, " rows"]:
    """KL(softmax(logits) || softmax(other)) of each row, in nats."""
    p, q = logits.double().log_softmax(-1), other.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)
