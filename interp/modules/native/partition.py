"""The experts that a model came with, as a Partition of all their neurons."""

import numpy as np

from interp.modules.native.blocks import NativeBlock
from interp.modules.partition import Partition
from interp.results.provenance import Provenance


def native_partition(
    block: NativeBlock, *, model_hash: str | None, command: str = "native_partition"
) -> Partition:
    """Kind "native": neuron e * n_neurons + i of `all_expert_neurons` belongs to expert e.

    Its site is the block's input, of which the neurons are computed, as no hook of the bridge holds
    them: `score_neurons(store, site=SITE, transform=partial(all_expert_neurons, block))` scores
    what it partitions. A shared expert, which every token passes, is not part of it.
    """
    labels = np.repeat(np.arange(block.n_experts, dtype=np.int32), block.n_neurons)
    site = f"{block.site}.hook_in"
    made = Provenance.collect(
        command, model_hash=model_hash, corpus_hash=None, seed=None, settings={"site": site}
    )
    return Partition.of(labels, site=site, kind="native", model_hash=model_hash, provenance=made)
