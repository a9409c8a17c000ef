"""Experts from activity: neurons that fire together belong together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from interp.modules.partition import Partition, canonical, expert_size
from interp.modules.partitioning.balanced import Start, Starts
from interp.modules.partitioning.communities import Algorithm, communities
from interp.modules.partitioning.cuts import CUTS, Cut
from interp.modules.partitioning.graph import Affinity, by_content, coactivation_graph
from interp.modules.partitioning.quality import partition_quality
from interp.neurons.coactivation_counts import Rule, positive
from interp.results.progress import progress
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """How a graph is made of activations and searched, and what its result is held against."""

    affinity: Affinity = "phi"
    active: Rule = positive
    active_name: str = "positive"
    """How `active` is called in the provenance."""
    seed: int = 0
    n_restarts: int = 8
    n_shuffles: int = 20
    """Times that the search is run again on shuffled activations; communities from one start."""


def partition_by_coactivation(
    h: Float[Tensor, "rows neurons"],
    n_experts: int,
    *,
    cut: Cut = "spectral",
    settings: GraphSettings | None = None,
    site: str = "neurons",
    model_hash: str | None = None,
    corpus_hash: str | None = None,
    command: str = "partition_by_coactivation",
) -> Partition:
    """Equal experts of neurons that fire together, by a balanced cut of the co-activation graph.

    Of the starts the one with the best objective of the cut itself (the k-means of the spectral
    embedding, or METIS's modularity); modularity Q is reported beside random partitions and the
    same search on shuffled activations. Neurons without an edge are dealt at the end. Raises
    BadInput where the experts do not divide the neurons or no neurons fire together.
    """
    expert_size(h.shape[1], n_experts)
    own = settings or GraphSettings()

    def search(activations: Float[Tensor, "rows neurons"]) -> Starts:
        graph = coactivation_graph(activations, affinity=own.affinity, active=own.active)
        return CUTS[cut](
            graph.weights, n_experts, idle=graph.idle, seed=own.seed, n_restarts=own.n_restarts
        )

    return _partition(
        h,
        search,
        own,
        again=search,
        site=site,
        kind=f"coactivation-{own.affinity}-{cut}",
        model_hash=model_hash,
        provenance=_provenance(
            command, own, model_hash, corpus_hash, by=f"coactivation-{cut}", n_experts=n_experts
        ),
    )


def partition_by_communities(
    h: Float[Tensor, "rows neurons"],
    *,
    algorithm: Algorithm = "louvain",
    settings: GraphSettings | None = None,
    site: str = "neurons",
    model_hash: str | None = None,
    corpus_hash: str | None = None,
    command: str = "partition_by_communities",
) -> Partition:
    """Communities of neurons that fire together, of any size: what equal experts are held against.

    The start with the highest modularity, with the nulls of `partition_by_coactivation`; shuffled
    activations are searched from one start each, since one takes long: their Q is lower than that
    of the best of several starts would be. Neurons without an edge form one last community. Raises
    Unsupported for leiden where leidenalg is not installed.
    """
    own = settings or GraphSettings()

    def search(
        activations: Float[Tensor, "rows neurons"],
        n_restarts: int = 1,
        advance: Callable[[], None] = lambda: None,
    ) -> Starts:
        graph = coactivation_graph(activations, affinity=own.affinity, active=own.active)
        return communities(
            graph.weights,
            algorithm=algorithm,
            idle=graph.idle,
            seed=own.seed,
            n_restarts=n_restarts,
            advance=advance,
        )

    def first(activations: Float[Tensor, "rows neurons"]) -> Starts:
        with progress(algorithm, total=own.n_restarts, unit="starts") as advance:
            return search(activations, own.n_restarts, advance)

    return _partition(
        h,
        first,
        own,
        again=search,
        site=site,
        kind=algorithm,
        model_hash=model_hash,
        provenance=_provenance(command, own, model_hash, corpus_hash, by=algorithm, n_experts=None),
    )


def _partition(
    h: Float[Tensor, "rows neurons"],
    search: Callable[[Float[Tensor, "rows neurons"]], Starts],
    own: GraphSettings,
    *,
    again: Callable[[Float[Tensor, "rows neurons"]], Starts],
    site: str,
    kind: str,
    model_hash: str | None,
    provenance: Provenance,
) -> Partition:
    order = by_content(h)
    sorted_h = h[:, torch.from_numpy(order)]
    starts = search(sorted_h)
    best: Start = starts.found[0]
    quality = partition_quality(
        sorted_h,
        best.labels,
        affinity=own.affinity,
        active=own.active,
        method=lambda noise: again(noise).found[0].labels,
        n_shuffles=own.n_shuffles,
        seed=own.seed,
    )
    dead = np.empty(len(order), bool)
    dead[order] = starts.dead
    return Partition(
        site=site,
        labels=_unsorted(best.labels, order),
        n_experts=int(best.labels.max()) + 1,
        kind=kind,
        objective=quality.q,
        objective_name="modularity Q (more is better)",
        null_objective=quality.random,
        seeds=tuple(start.seed for start in starts.found),
        rounds=tuple(start.rounds for start in starts.found),
        seed_ari=starts.agreement,
        dead=dead,
        model_hash=model_hash,
        provenance=provenance,
        quality=quality,
    )


def _unsorted(labels: Int32[np.ndarray, " neurons"], order: np.ndarray) -> np.ndarray:
    found = np.empty_like(labels)
    found[order] = labels
    return canonical(found)


def _provenance(
    command: str,
    own: GraphSettings,
    model_hash: str | None,
    corpus_hash: str | None,
    *,
    by: str,
    n_experts: int | None,
) -> Provenance:
    return Provenance.collect(
        command,
        model_hash=model_hash,
        corpus_hash=corpus_hash,
        seed=own.seed,
        settings={
            "by": by,
            "n_experts": n_experts,
            "affinity": own.affinity,
            "active": own.active_name,
            "n_restarts": own.n_restarts,
            "n_shuffles": own.n_shuffles,
        },
    )
