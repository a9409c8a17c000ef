"""Random partitions: equal experts that mean nothing, the null of every other partition."""

import numpy as np
from jaxtyping import Int32

from interp.modules.partition import Partition, canonical, expert_size
from interp.results.provenance import Provenance


def random_labels(
    n_neurons: int, n_experts: int, rng: np.random.Generator
) -> Int32[np.ndarray, " neurons"]:
    """An expert for every neuron, drawn evenly from all ways to deal them to equal experts."""
    expert_size(n_neurons, n_experts)
    return canonical(rng.permutation(np.arange(n_neurons, dtype=np.int32) % n_experts))


def random_partition(
    n_neurons: int,
    n_experts: int,
    *,
    seed: int,
    site: str = "neurons",
    model_hash: str | None = None,
    command: str = "random_partition",
) -> Partition:
    """Neurons shuffled and dealt. Raises BadInput where the experts do not divide the neurons."""
    return Partition.of(
        random_labels(n_neurons, n_experts, np.random.default_rng(seed)),
        site=site,
        kind="random",
        model_hash=model_hash,
        provenance=Provenance.collect(
            command,
            model_hash=model_hash,
            corpus_hash=None,
            seed=seed,
            settings={"by": "random", "n_neurons": n_neurons, "n_experts": n_experts},
        ),
    )
