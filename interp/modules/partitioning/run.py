"""Partition a layer of a model: from its weights, from what its neurons did, or at random."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.weights import in_memory_hash
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.mlp_weights import MlpWeights, mlp_weights
from interp.modules.partition import Partition, expert_size
from interp.modules.partitioning.coactivation import (
    GraphSettings,
    partition_by_coactivation,
    partition_by_communities,
)
from interp.modules.partitioning.cuts import Cut
from interp.modules.partitioning.graph import Affinity
from interp.modules.partitioning.quality import partition_quality
from interp.modules.partitioning.random import random_partition
from interp.modules.partitioning.weights import N_RESTARTS, Rows, input_rows, partition_by_weights
from interp.neurons.coactivation_counts import Rule
from interp.neurons.sparsity.activity import active_neurons
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.run import fit_layer
from interp.results.errors import BadInput, Mismatch

By = Literal["weights", "coactivation", "random", "louvain", "leiden"]


class Activity(NamedTuple):
    """What a layer's neurons did on some text, and when one of them counts as on."""

    h: Float[Tensor, "rows neurons"]
    rule: ActivityRule
    corpus_hash: str | None = None


def partition(
    model: TransformerBridge | Path | str,
    site: str,
    n_experts: int | None = None,
    *,
    by: By = "weights",
    activity: Activity | None = None,
    rows: Rows = "joined",
    affinity: Affinity = "phi",
    cut: Cut = "spectral",
    seed: int = 0,
    n_restarts: int = N_RESTARTS,
    n_shuffles: int = 20,
    command: str = "partition",
) -> Partition:
    """A partition of the neurons at `site` (blocks.3.mlp.hook_post) of a model or its directory.

    `activity` is needed for all but weights and random; with it those too get their modularity
    beside its nulls, and neurons that are never on count as dead. Without a bridge only the layer's
    own tensors are read. `n_experts` belongs to partitions of equal experts, not to communities.

    Raises BadInput where the experts do not divide the neurons or a method lacks what it reads,
    Unsupported for a site without neurons of a dense MLP.
    """
    weights = mlp_weights(model, site)
    n_neurons = len(weights.W_in)
    _check(by, n_experts, activity, n_neurons, site)
    own = _hash_of(model)
    if by == "random":
        found = random_partition(
            n_neurons, n_experts or 0, seed=seed, site=site, model_hash=own, command=command
        )
    elif by == "weights":
        found = partition_by_weights(
            input_rows(weights, rows),
            n_experts or 0,
            seed=seed,
            n_restarts=n_restarts,
            dead=None if activity is None else _never_on(activity, weights),
            site=site,
            model_hash=own,
            command=command,
            settings={"rows": rows if weights.W_gate is not None else "in"},
        )
    else:
        assert activity is not None
        settings = GraphSettings(
            affinity=affinity,
            active=_rule(activity, weights),
            active_name=str(activity.rule),
            seed=seed,
            n_restarts=n_restarts,
            n_shuffles=n_shuffles,
        )
        make = (
            partial(partition_by_coactivation, n_experts=n_experts or 0, cut=cut)
            if by == "coactivation"
            else partial(partition_by_communities, algorithm=by)
        )
        return make(
            activity.h,
            settings=settings,
            site=site,
            model_hash=own,
            corpus_hash=activity.corpus_hash,
            command=command,
        )
    if activity is None:
        return found
    return _with_quality(
        found, activity, weights, affinity=affinity, n_shuffles=n_shuffles, seed=seed
    )


def _check(
    by: str, n_experts: int | None, activity: Activity | None, n_neurons: int, site: str
) -> None:
    if by in ("louvain", "leiden"):
        if n_experts is not None:
            raise BadInput(f"{by} finds how many communities there are: leave n_experts out")
    elif n_experts is None:
        raise BadInput(f"{by} makes experts of one size: give n_experts")
    else:
        expert_size(n_neurons, n_experts)
    if activity is None and by not in ("weights", "random"):
        raise BadInput(f"{by} looks at what neurons do: give `activity`, the activations of {site}")
    if activity is not None and activity.h.shape[1] != n_neurons:
        raise Mismatch(
            f"activations of {activity.h.shape[1]} neurons and weights of {n_neurons}: they are "
            f"not of one model's {site}"
        )


def _rule(activity: Activity, weights: MlpWeights) -> Rule:
    if activity.rule.name == "cett":
        return fit_layer(activity.h, activity.rule, weights.W_out.float()).active
    return partial(active_neurons, rule=activity.rule)


def _never_on(activity: Activity, weights: MlpWeights) -> Bool[np.ndarray, " neurons"]:
    """Neurons that are never on. Those always on are kept: their weights say what they read."""
    return (~_rule(activity, weights)(activity.h).any(dim=0)).cpu().numpy()


def _with_quality(
    found: Partition,
    activity: Activity,
    weights: MlpWeights,
    *,
    affinity: Affinity,
    n_shuffles: int,
    seed: int,
) -> Partition:
    quality = partition_quality(
        activity.h,
        found.labels,
        affinity=affinity,
        active=_rule(activity, weights),
        n_shuffles=n_shuffles,
        seed=seed,
    )
    settings = {"affinity": affinity, "active": str(activity.rule), "n_shuffles": n_shuffles}
    old = found.provenance
    provenance = replace(
        old, corpus_hash=activity.corpus_hash, settings={**old.settings, **settings}
    )
    return replace(found, quality=quality, provenance=provenance)


def _hash_of(model: TransformerBridge | Path | str) -> str:
    if isinstance(model, TransformerBridge):
        return in_memory_hash(model)
    return model_hash(directory_of(model))
