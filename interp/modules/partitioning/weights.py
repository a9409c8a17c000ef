"""Experts from weights: neurons that read alike belong together (MoEfication, 2110.01786).

The rows of the input weights are clustered by direction into experts of one size. In a gated MLP
a neuron reads twice; its gate decides whether it fires, and both rows stand side by side.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from interp.models.mlp_weights import MlpWeights
from interp.modules.partition import Partition, expert_size
from interp.modules.partitioning.balanced import Start, balanced_kmeans, unit_rows, within_cluster
from interp.modules.partitioning.random import random_labels
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

Rows = Literal["joined", "gate", "in"]
"""Of a gated MLP: gate and input rows side by side, each at unit length, or one of them alone."""
N_RESTARTS = 8
_NULL_DRAWS = 20


def input_rows(weights: MlpWeights, rows: Rows = "joined") -> Float[Tensor, "neurons d"]:
    """What each neuron reads, a row a neuron; of an MLP without a gate always the input rows.

    Joined rows have both halves at unit length, so that neither counts for more by its scale.
    """
    if rows not in ("joined", "gate", "in"):
        raise BadInput(f"rows {rows!r}: joined, gate or in")
    if weights.W_gate is None or rows == "in":
        return weights.W_in
    if rows == "gate":
        return weights.W_gate
    return torch.cat([_unit(weights.W_gate), _unit(weights.W_in)], dim=1)


def partition_by_weights(
    W: Float[Tensor, "neurons d"],
    n_experts: int,
    *,
    seed: int = 0,
    n_restarts: int = N_RESTARTS,
    dead: Bool[np.ndarray, " neurons"] | None = None,
    site: str = "neurons",
    model_hash: str | None = None,
    command: str = "partition_by_weights",
    settings: dict[str, str] | None = None,
) -> Partition:
    """Balanced k-means of the rows of W by direction: the best of `n_restarts` starts.

    Its objective is the sum of squared distances to the expert's mean, beside that of random
    partitions. `seed_ari` says how far the starts agree: with small experts in many dimensions a
    start stops where it began, and the objective does not show it. Zero rows and `dead` neurons
    are dealt at the end. Raises BadInput where the experts do not divide the neurons.
    """
    expert_size(len(W), n_experts)
    rows = W.detach().cpu()
    rows = rows.numpy() if rows.dtype in (torch.float32, torch.float64) else rows.float().numpy()
    with progress("balanced k-means", total=n_restarts, unit="starts") as advance:
        starts = balanced_kmeans(
            rows, n_experts, seed=seed, n_restarts=n_restarts, dead=dead, advance=advance
        )
    best: Start = starts.found[0]
    return Partition(
        site=site,
        labels=best.labels,
        n_experts=n_experts,
        kind="weights",
        objective=best.objective,
        objective_name="inertia of unit rows (less is better)",
        null_objective=_random_inertia(rows[~starts.dead], n_experts, seed=seed),
        seeds=tuple(start.seed for start in starts.found),
        rounds=tuple(start.rounds for start in starts.found),
        seed_ari=starts.agreement,
        dead=starts.dead,
        model_hash=model_hash,
        provenance=Provenance.collect(
            command,
            model_hash=model_hash,
            corpus_hash=None,
            seed=seed,
            settings={"by": "weights", "n_experts": n_experts, "n_restarts": n_restarts,
                      **(settings or {})},
        ),
    )  # fmt: skip


def _random_inertia(
    rows: Float[np.ndarray, "neurons d"], n_experts: int, *, seed: int
) -> Float64[np.ndarray, " draws"]:
    rng = np.random.default_rng([seed, 1])
    unit = unit_rows(rows.astype(np.float64))
    size = -(-len(rows) // n_experts) * n_experts
    draws = [random_labels(size, n_experts, rng)[: len(rows)] for _ in range(_NULL_DRAWS)]
    return np.array([within_cluster(unit, labels, n_experts) for labels in draws])


def _unit(rows: Float[Tensor, "neurons d"]) -> Float[Tensor, "neurons d"]:
    double = rows.double()
    length = double.norm(dim=1, keepdim=True)
    return (double / length.where(length > 0, 1.0)).to(
        torch.promote_types(rows.dtype, torch.float32)
    )
