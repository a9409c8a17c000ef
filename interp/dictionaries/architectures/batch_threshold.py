"""The threshold that stands for a selection over the batch when there is no batch."""

import torch
from jaxtyping import Float
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from torch import Tensor

from interp.dictionaries.sparse.ranks import Ranks

_ROWS_AT_ONCE = 256
"""So that a wide dictionary's activations never exist for a whole batch."""


@torch.no_grad()
def follow_threshold(sae: BatchTopKTrainingSAE, kept: Tensor, ranks: Ranks) -> None:
    """Move the threshold towards the smallest positive activation of the global batch.

    t <- (1 - lr) t + lr min(kept), as sae-lens; nothing moves when nothing is on.
    """
    positive = kept[kept > 0]
    own = positive.min() if positive.numel() else kept.new_tensor(torch.inf)
    least = ranks.all_min(own).to(sae.topk_threshold.dtype)
    lr = sae.cfg.topk_threshold_lr
    if torch.isfinite(least):
        sae.topk_threshold = (1 - lr) * sae.topk_threshold + lr * least


@torch.no_grad()
def n_above_threshold(
    sae: BatchTopKTrainingSAE, x: Float[Tensor, "rows d_in"], ranks: Ranks
) -> Float[Tensor, ""]:
    """Features that the dictionary would have on if it were saved now, on average over all rows."""
    norms = sae.W_dec.norm(dim=-1) if sae.cfg.rescale_acts_by_decoder_norm else 1.0
    threshold = sae.topk_threshold.clamp(min=0.0)
    n_on = torch.zeros((), dtype=torch.long, device=x.device)
    for part in x.split(_ROWS_AT_ONCE):
        pre = (sae.process_sae_in(part) @ sae.W_enc + sae.b_enc) * norms
        n_on += (pre > threshold).sum()
    return ranks.all_sum(n_on) / ranks.n_rows_global(x.shape[0])
