"""The threshold that stands for a selection over the batch when there is no batch."""

import torch
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from torch import Tensor

from interp.dictionaries.sparse.ranks import Ranks


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
