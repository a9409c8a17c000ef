"""Rank stability: whether neurons, or experts, keep their order from one checkpoint to the next."""

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.stats import rankdata


def spearman(
    before: Float[np.ndarray, "functions units"], after: Float[np.ndarray, "functions units"]
) -> Float64[np.ndarray, " functions"]:
    """Spearman's rank correlation of each row with its own, ties at their mean rank.

    NaN where a row is constant: all neurons of a layer that died score the same.
    """
    a, b = (rankdata(values, axis=1) for values in (before, after))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    together = (a * b).sum(axis=1)
    return np.divide(together, spread, out=np.full(len(a), np.nan), where=spread > 0)


def expert_means(
    scores: Float[np.ndarray, "functions units"], labels: Int[np.ndarray, " units"]
) -> Float64[np.ndarray, "functions experts"]:
    """Mean score of the neurons of every expert."""
    n_experts = int(labels.max()) + 1
    member = labels[:, None] == np.arange(n_experts)
    return scores @ (member / member.sum(axis=0))


def expert_stability(
    before: Float[np.ndarray, "functions units"],
    after: Float[np.ndarray, "functions units"],
    partitions: Int[np.ndarray, "partitions units"],
) -> Float64[np.ndarray, "partitions functions"]:
    """Spearman's correlation over expert means, under each of several fixed partitions.

    As 2305.18390 measures it: the partition is the same for both checkpoints. Averaging alone makes
    means more stable than neurons, so it is read beside random partitions of the same sizes.
    """
    return np.stack(
        [
            spearman(expert_means(before, labels), expert_means(after, labels))
            for labels in partitions
        ]
    )
