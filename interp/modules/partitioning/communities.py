"""Communities: parts of the co-activation graph of whatever size maximises modularity.

The comparison for equal experts: how much of the structure does the constraint of size lose?
"""

from collections.abc import Callable
from typing import Literal

import networkx
import numpy as np
from jaxtyping import Bool, Float64, Int32

from interp.modules.partition import canonical
from interp.modules.partitioning.balanced import Start, Starts, agreement, start_seeds
from interp.modules.partitioning.quality import modularity
from interp.results.errors import Unsupported

Algorithm = Literal["louvain", "leiden"]


def communities(
    weights: Float64[np.ndarray, "neurons neurons"],
    *,
    algorithm: Algorithm,
    idle: Bool[np.ndarray, " neurons"],
    seed: int,
    n_restarts: int,
    advance: Callable[[], None] = lambda: None,
) -> Starts:
    """Starts of Louvain (2008, networkx) or Leiden (2019, leidenalg); highest modularity first.

    A start of Louvain goes through every pair of neurons that fire together, in Python: seconds at
    800 neurons, minutes at some thousands. Neurons without an edge form one last community of their
    own. Raises Unsupported for Leiden where leidenalg is not installed: it is under the GPL, and no
    part of this package.
    """
    find = {"louvain": _louvain, "leiden": _leiden}[algorithm]
    live = np.flatnonzero(~idle)
    graph = weights[np.ix_(live, live)]
    found = []
    for own in start_seeds(seed, n_restarts):
        parts = find(graph, own % (2**31))
        labels = np.full(len(weights), len(live), np.int32)
        labels[live] = parts
        found.append(Start(canonical(labels), modularity(graph, canonical(parts)), 1, own))
        advance()
    best_first = sorted(found, key=lambda start: -start.objective)
    return Starts(tuple(best_first), agreement([s.labels[live] for s in found]), idle)


def _louvain(
    weights: Float64[np.ndarray, "neurons neurons"], seed: int
) -> Int32[np.ndarray, " neurons"]:
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(weights)))
    rows, columns = np.nonzero(np.triu(weights))
    edges = zip(rows.tolist(), columns.tolist(), weights[rows, columns].tolist(), strict=True)
    graph.add_weighted_edges_from(edges)
    parts = networkx.community.louvain_communities(graph, weight="weight", seed=seed)
    labels = np.empty(len(weights), np.int32)
    for number, members in enumerate(parts):
        labels[list(members)] = number
    return labels


def _leiden(
    weights: Float64[np.ndarray, "neurons neurons"], seed: int
) -> Int32[np.ndarray, " neurons"]:
    try:
        import igraph  # pyright: ignore[reportMissingImports]
        import leidenalg  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Unsupported(
            "Leiden needs leidenalg, which is not installed (and under the GPL): "
            "`pip install leidenalg`, or use louvain"
        ) from error
    rows, columns = np.nonzero(np.triu(weights))
    graph = igraph.Graph(n=len(weights), edges=list(zip(rows, columns, strict=True)))
    found = leidenalg.find_partition(
        graph,
        leidenalg.ModularityVertexPartition,
        weights=weights[rows, columns].tolist(),
        seed=seed,
    )
    return np.array(found.membership, dtype=np.int32)
