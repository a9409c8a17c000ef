"""Routers fitted to the experts of every layer, and to random experts of the same sizes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.models.mlp_weights import mlp_weights
from interp.modules.partition import Partition, canonical
from interp.modules.partitioning.weights import input_rows
from interp.modules.routing.reading import TokenRows
from interp.modules.routing.router import Layer, Lesson, Scorer
from interp.modules.routing.routers import routers
from interp.modules.routing.scores import Measure, measured_by
from interp.modules.routing.settings import RoutingSettings
from interp.results.progress import progress


class Variant(NamedTuple):
    """A partition of every layer, and the routers fitted to it."""

    name: str
    partitions: dict[str, Partition]
    scorers: dict[str, dict[str, Scorer]]
    """By router and site."""
    measures: dict[str, Scorer]
    """True scores, by site."""


def variants_of(
    bridge: TransformerBridge,
    partitions: Sequence[Partition],
    fit: TokenRows,
    measures: Mapping[str, Measure],
    own: RoutingSettings,
) -> list[Variant]:
    """The given partitions first, then `n_random` random ones, each with its fitted routers."""
    rng = np.random.default_rng([own.seed, 3])
    chosen = [("own", list(partitions))] + [
        ("random", [_shuffled(partition, rng) for partition in partitions])
        for _ in range(own.n_random)
    ]
    found = []
    with progress("fitting routers", total=len(chosen), unit="partitions") as advance:
        for name, some in chosen:
            found.append(_fitted(bridge, name, some, fit, measures, own))
            advance()
    return found


def _fitted(
    bridge: TransformerBridge,
    name: str,
    partitions: Sequence[Partition],
    fit: TokenRows,
    measures: Mapping[str, Measure],
    own: RoutingSettings,
) -> Variant:
    scorers: dict[str, dict[str, Scorer]] = {router: {} for router in own.routers}
    true: dict[str, Scorer] = {}
    for partition in partitions:
        weights = mlp_weights(bridge, partition.site)
        layer = Layer(
            rows=input_rows(weights, "gate").float().cpu(),
            W_out=weights.W_out.float().cpu(),
            labels=torch.from_numpy(partition.labels.astype(np.int64)),
            n_experts=partition.n_experts,
        )
        rows = fit.at[partition.site]
        true[partition.site] = measured_by(measures[partition.site], layer)
        scores = true[partition.site](rows.h)
        lesson = Lesson(layer, rows.x, scores, true[partition.site], own.seed)
        for router in own.routers:
            scorers[router][partition.site] = routers()[router].fit(lesson)
    return Variant(name, {p.site: p for p in partitions}, scorers, true)


def _shuffled(partition: Partition, rng: np.random.Generator) -> Partition:
    """The same sizes with members drawn at random."""
    return Partition.of(
        canonical(rng.permutation(partition.labels)),
        site=partition.site,
        kind="random",
        model_hash=partition.model_hash,
        provenance=partition.provenance,
    )
