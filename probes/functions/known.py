"""The known split of both layers as partitions, to hold a method's own against."""

import numpy as np

from interp.modules.partition import Partition
from interp.results.provenance import Provenance
from probes.functions.blocks import N_LAYERS, known_experts
from probes.functions.recipe import SHIPPED_SEED

SITES = tuple(f"blocks.{layer}.mlp.hook_post" for layer in range(N_LAYERS))


def known_partitions(*, seed: int = SHIPPED_SEED, model_hash: str | None = None) -> list[Partition]:
    """Twelve experts of 16 neurons a layer, two of them a block, of the siblings of a seed.

    The planted sibling was trained to it; in the control it is a split like any other.
    """
    provenance = Provenance.collect(
        "probes.functions.known_partitions",
        model_hash=model_hash,
        corpus_hash=None,
        seed=None,
        settings={"models_of_seed": seed},
    )
    return [
        Partition.of(
            experts.astype(np.int32),
            site=site,
            kind="planted",
            model_hash=model_hash,
            provenance=provenance,
        )
        for site, experts in zip(SITES, known_experts(seed), strict=True)
    ]
