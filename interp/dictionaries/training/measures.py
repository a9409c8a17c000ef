"""How well a step's reconstruction does, over the rows of all ranks."""

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.sparse.ranks import Ranks


@torch.no_grad()
def explained_variance(
    target: Float[Tensor, "batch d"], output: Float[Tensor, "batch d"], ranks: Ranks
) -> float:
    """1 - sum |x - x'|^2 / sum |x - mean x|^2 over the global batch; at most 1.

    NaN where all rows are equal.
    """
    target, output = target.float(), output.float()
    mean = ranks.all_sum(target.sum(0)) / ranks.n_rows_global(len(target))
    parts = torch.stack([(target - output).square().sum(), (target - mean).square().sum()])
    error, variance = ranks.all_sum(parts).tolist()
    return 1 - error / variance if variance else float("nan")
