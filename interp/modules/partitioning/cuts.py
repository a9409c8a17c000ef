"""Cuts: ways to part a co-activation graph into experts of one size."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import eigsh

from interp.modules.partition import canonical, expert_size
from interp.modules.partitioning.balanced import (
    Start,
    Starts,
    agreement,
    balanced_kmeans,
    dealt,
    start_seeds,
)
from interp.modules.partitioning.quality import modularity
from interp.results.errors import Unsupported

Cut = Literal["spectral", "metis"]
_DENSE_BELOW = 128


def spectral_cut(
    weights: Float64[np.ndarray, "neurons neurons"],
    n_experts: int,
    *,
    idle: Bool[np.ndarray, " neurons"],
    seed: int,
    n_restarts: int,
) -> Starts:
    """Balanced k-means of the spectral embedding (Ng, Jordan and Weiss 2001), best start first."""
    embedding = np.zeros((len(weights), min(n_experts, int((~idle).sum()))))
    embedding[~idle] = spectral_embedding(weights[np.ix_(~idle, ~idle)], n_experts)
    return balanced_kmeans(embedding, n_experts, seed=seed, n_restarts=n_restarts, dead=idle)


def spectral_embedding(
    weights: Float64[np.ndarray, "neurons neurons"], n: int
) -> Float64[np.ndarray, "neurons n"]:
    """The `n` leading eigenvectors of D^-1/2 W D^-1/2, each with a fixed sign: a row a neuron.

    Of fewer neurons than `n`, all of them. Every neuron must have an edge.
    """
    size = len(weights)
    scale = 1 / np.sqrt(weights.sum(axis=1))
    normal = weights * scale[:, None] * scale[None, :]
    if size <= max(_DENSE_BELOW, 2 * n):
        vectors = np.linalg.eigh(normal)[1][:, -n:]
    else:
        # A start that is not the solver's own random one, so that the same graph gives the same.
        vectors = eigsh(normal, k=n, which="LA", v0=np.ones(size))[1]
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])


def metis_cut(
    weights: Float64[np.ndarray, "neurons neurons"],
    n_experts: int,
    *,
    idle: Bool[np.ndarray, " neurons"],
    seed: int,
    n_restarts: int,
) -> Starts:
    """METIS's k-way cut, made exactly equal by the cheapest moves; highest modularity first.

    Raises Unsupported where pymetis is not installed.
    """
    size = expert_size(len(weights), n_experts)
    live = np.flatnonzero(~idle)
    graph = weights[np.ix_(live, live)]
    found = []
    for own in start_seeds(seed, n_restarts):
        parts = _metis(graph, n_experts, seed=own % (2**31))
        equal = equal_sizes(graph, parts, n_experts, size=size)
        labels = dealt(equal, live, idle, n_experts=n_experts, size=size)
        found.append(Start(labels, modularity(graph, canonical(equal)), 1, own))
    best_first = sorted(found, key=lambda start: -start.objective)
    return Starts(tuple(best_first), agreement([s.labels[live] for s in found]), idle)


def equal_sizes(
    weights: Float64[np.ndarray, "neurons neurons"],
    labels: Int[np.ndarray, " neurons"],
    n_experts: int,
    *,
    size: int,
) -> Int32[np.ndarray, " neurons"]:
    """No expert above `size`, by the assignment that keeps most weight to the experts as they were.

    Exact for the linear gain Σ_n Σ_{j in e(n)} w_nj; labels that fit are left as they are.
    """
    if np.bincount(labels, minlength=n_experts).max(initial=0) <= size:
        return np.asarray(labels, dtype=np.int32)
    gain = weights @ (labels[:, None] == np.arange(n_experts)[None, :])
    seats = np.repeat(np.arange(n_experts), size)
    rows, columns = linear_sum_assignment(-gain[:, seats])
    moved = np.empty(len(labels), np.int32)
    moved[rows] = seats[columns]
    return moved


CUTS: dict[str, Callable[..., Starts]] = {"spectral": spectral_cut, "metis": metis_cut}


def _metis(
    weights: Float64[np.ndarray, "neurons neurons"], n_parts: int, *, seed: int
) -> Int32[np.ndarray, " neurons"]:
    try:
        import pymetis  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise Unsupported(
            "the cut metis needs pymetis, which is not installed: `pip install pymetis`, or cut "
            "with spectral"
        ) from error
    whole = np.floor(1000 * weights / weights.max()).astype(np.int64)
    rows, columns = np.nonzero(whole)
    starts = np.searchsorted(rows, np.arange(len(whole) + 1))
    adjacency = pymetis.CSRAdjacency(adj_starts=starts, adjacent=columns)
    _, parts = pymetis.part_graph(
        n_parts,
        adjacency=adjacency,
        eweights=whole[rows, columns],
        options=pymetis.Options(seed=seed),
    )
    return np.array(parts, dtype=np.int32)
