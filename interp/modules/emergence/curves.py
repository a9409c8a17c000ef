"""From the records of all checkpoints to the curves of Stability."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32

from interp.modules.emergence.checkpoint import CheckpointRecord, LayerRecord
from interp.modules.emergence.partition_change import (
    Agreement,
    agreement_between,
    agreement_of_starts,
)
from interp.modules.emergence.rank_stability import expert_stability, spearman
from interp.modules.partitioning.random import random_labels
from interp.neurons.coactivation import coactivation_change
from interp.neurons.sparsity.stats import SparsityStats
from interp.results.errors import Mismatch


def random_partitions(
    n_neurons: int, n_experts: int, *, draws: int, seed: int
) -> Int32[np.ndarray, "draws neurons"]:
    """Neurons dealt at random to experts of one size, `draws` times."""
    rng = np.random.default_rng([seed, 3])
    return np.stack([random_labels(n_neurons, n_experts, rng) for _ in range(draws)])


def layer_curves(
    records: Sequence[CheckpointRecord],
    layer: int,
    *,
    reference: int,
    n_random: int,
    seed: int,
) -> dict[str, Float64[np.ndarray, "..."]]:
    """Every array of Stability for one layer; `reference` is the place of the fixed experts.

    Two checkpoints are in memory at a time.
    """
    experts = records[reference].layer(layer).starts
    n_experts = int(experts.max()) + 1
    random = random_partitions(experts.shape[1], n_experts, draws=n_random, seed=seed)
    at_step: list[dict[str, Any]] = []
    at_pair: list[dict[str, Any]] = []
    before: LayerRecord | None = None
    for record in records:
        own = record.layer(layer)
        site = record.sparsity.sites[layer]
        at_step.append(_at_step(own, record.sparsity, site))
        if before is not None:
            _refuse_other_questions(before, own)
            at_pair.append(_at_pair(before, own, experts, random))
        before = own
    floor = _floor(random)
    return {
        **{name: np.stack([found[name] for found in at_step]) for name in at_step[0]},
        **{name: np.stack([found[name] for found in at_pair]) for name in at_pair[0]},
        "floor_ari": np.array([agreement.ari for agreement in floor]),
        "floor_nmi": np.array([agreement.nmi for agreement in floor]),
    }


def _at_step(own: LayerRecord, sparsity: SparsityStats, site: str) -> dict[str, Any]:
    starts = agreement_of_starts(own.starts, ~own.dead)
    return {
        "best": own.scores.best(),
        "best_null": own.scores.null_best.mean(axis=1),
        "ceiling_ari": np.float64(starts.ari),
        "ceiling_nmi": np.float64(starts.nmi),
        "active": np.array(sparsity.cell(site, "active")),
        "dead": np.array(sparsity.cell(site, "dead")),
    }


def _at_pair(
    before: LayerRecord,
    after: LayerRecord,
    experts: Int32[np.ndarray, "starts neurons"],
    random: Int32[np.ndarray, "draws neurons"],
) -> dict[str, Any]:
    live = ~(before.dead | after.dead)
    between = agreement_between(before.starts, after.starts, live)
    scores = before.scores.score, after.scores.score
    return {
        "neuron": spearman(*scores),
        "expert": expert_stability(*scores, experts),
        "random": expert_stability(*scores, random),
        "partition_ari": np.float64(between.ari),
        "partition_nmi": np.float64(between.nmi),
        "coactivation_change": np.float64(coactivation_change(before.whole, after.whole)),
        "coactivation_across": np.float64(_across_halves(before, after)),
        "coactivation_floor": np.float64(_text_alone(before, after)),
    }


def _floor(random: Int32[np.ndarray, "draws neurons"]) -> list[Agreement]:
    everyone = np.ones(random.shape[1], dtype=bool)
    nexts = np.roll(random, 1, axis=0)
    return [
        agreement_between(a[None], b[None], everyone) for a, b in zip(random, nexts, strict=True)
    ]


def _across_halves(before: LayerRecord, after: LayerRecord) -> float:
    """Half the text before with the other half after, both ways: no token is seen twice."""
    crossed = ((before.halves[0], after.halves[1]), (before.halves[1], after.halves[0]))
    return float(np.mean([coactivation_change(a, b) for a, b in crossed]))


def _text_alone(before: LayerRecord, after: LayerRecord) -> float:
    return float(np.mean([coactivation_change(*record.halves) for record in (before, after)]))


def _refuse_other_questions(before: LayerRecord, after: LayerRecord) -> None:
    asked = [
        [(function.name, function.rows_sha256) for function in record.scores.functions]
        for record in (before, after)
    ]
    if asked[0] != asked[1]:
        raise Mismatch(
            "two checkpoints were scored for other functions or on other rows: start again with "
            "--overwrite"
        )
