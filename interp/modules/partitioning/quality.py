"""Modularity: does more co-activation lie inside experts than degrees alone would put there?

Q = Σ_e [w_e / w − (deg_e / 2w)²] over the edge weights (Newman 2004; w_e inside expert e, w in
all). Any method that fits noise reaches a Q above that of random partitions, so the null to beat
is the same method on activations whose columns were shuffled one by one.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from interp.modules.partition_quality import PartitionQuality
from interp.modules.partitioning.graph import Affinity, coactivation_graph, columns_shuffled
from interp.neurons.coactivation_counts import Rule, positive
from interp.results.errors import BadInput
from interp.results.progress import progress

Method = Callable[[Float[Tensor, "rows neurons"]], Int[np.ndarray, " neurons"]]
"""From activations to an expert for every neuron."""
RANDOM_DRAWS = 100


def modularity(
    weights: Float[np.ndarray, "neurons neurons"], labels: Int[np.ndarray, " neurons"]
) -> float:
    """Weighted modularity Q of symmetric weights without a diagonal; NaN without an edge."""
    n, total = len(labels), float(weights.sum())
    if total <= 0:
        return float("nan")
    member = csr_matrix((np.ones(n), (labels, np.arange(n))))
    per_expert = np.asarray(member @ weights)
    inside = per_expert[labels, np.arange(n)].sum()
    degrees = per_expert.sum(axis=1)
    return float(inside / total - np.square(degrees / total).sum())


def partition_quality(
    h: Float[Tensor, "rows neurons"],
    labels: Int[np.ndarray, " neurons"],
    *,
    affinity: Affinity = "phi",
    active: Rule = positive,
    method: Method | None = None,
    n_shuffles: int = 20,
    n_random: int = RANDOM_DRAWS,
    seed: int = 0,
) -> PartitionQuality:
    """Q of `labels` on the graph of `h`, beside random partitions and shuffled activations.

    `method` is what made the labels, run again on each shuffle; without one (experts that no
    activation decided) the labels themselves are held against the graphs of the shuffles.
    """
    weights = coactivation_graph(h, affinity=affinity, active=active).weights
    rng = np.random.default_rng([seed, 2])
    random = [modularity(weights, rng.permutation(labels)) for _ in range(n_random)]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    shuffled = []
    with progress("shuffled activations", total=n_shuffles, unit="shuffles") as advance:
        for _ in range(n_shuffles):
            shuffled.append(_q_of_noise(h, labels, generator, affinity, active, method))
            advance()
    return PartitionQuality(
        affinity=affinity,
        q=modularity(weights, labels),
        random=np.array(random, dtype=np.float64),
        shuffled=np.array(shuffled, dtype=np.float64),
        n_rows=len(h),
    )


def _q_of_noise(
    h: Float[Tensor, "rows neurons"],
    labels: Int[np.ndarray, " neurons"],
    generator: torch.Generator,
    affinity: Affinity,
    active: Rule,
    method: Method | None,
) -> float:
    noise = columns_shuffled(h, generator)
    try:
        weights = coactivation_graph(noise, affinity=affinity, active=active).weights
    except BadInput:
        return 0.0
    return modularity(weights, labels if method is None else method(noise))
