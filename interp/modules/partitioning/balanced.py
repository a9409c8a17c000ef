"""Balanced k-means: experts of exactly one size whose members' directions lie close together.

The library k-means-constrained does one start at a time; starts, their seeds, neurons that take no
part and the agreement between starts are ours.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int32, Int64
from scipy.sparse import csr_matrix

from interp.modules.partition import SeedAgreement, canonical, expert_size
from interp.modules.partitioning.seeding import plus_plus
from interp.results.errors import BadInput

_RESOLUTION = 1000.0
"""The library rounds distances to 1/1000 before it assigns: unit rows are handed over larger."""
_MAX_ROUNDS = 300


class Start(NamedTuple):
    """What one start came to."""

    labels: Int32[np.ndarray, " neurons"]
    objective: float
    rounds: int
    seed: int


class Starts(NamedTuple):
    """What every start came to; the best of them first."""

    found: tuple[Start, ...]
    agreement: SeedAgreement
    dead: Bool[np.ndarray, " neurons"]


def balanced_kmeans(
    rows: Float[np.ndarray, "neurons d"],
    n_experts: int,
    *,
    seed: int,
    n_restarts: int,
    dead: Bool[np.ndarray, " neurons"] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Starts:
    """Starts of min Σ_n ‖x_n − μ_e(n)‖² with N/E neurons an expert, x the rows at unit length.

    Zero rows and `dead` ones take no part and are dealt to experts with room at the end. Rows are
    clustered in an order that their content decides, so that permuting neurons permutes the result
    (identical rows may change places), and two checkpoints share no draw of a start. The
    assignment of each round minimises the sum of distances, not of their squares, exactly up to
    1e-6 a neuron; the objective that picks the best start is the sum of squares.

    Raises BadInput where E does not divide N, and for NaN.
    """
    size = expert_size(len(rows), n_experts)
    _refuse_nan(rows)
    idle = np.asarray(~np.any(rows, axis=1) | (False if dead is None else dead))
    order = content_order(rows, ~idle)
    ordered = unit_rows(rows[order].astype(np.float64))
    found = []
    for own in start_seeds(seed, n_restarts):
        live, rounds = _one_start(ordered, n_experts, size=size, n_dead=int(idle.sum()), seed=own)
        labels = dealt(live, order, idle, n_experts=n_experts, size=size)
        found.append(Start(labels, within_cluster(ordered, live, n_experts), rounds, own))
        advance()
    best_first = sorted(found, key=lambda start: start.objective)
    return Starts(tuple(best_first), agreement([s.labels[~idle] for s in found]), idle)


def content_order(
    rows: Float[np.ndarray, "neurons d"], kept: Bool[np.ndarray, " neurons"]
) -> Int64[np.ndarray, " kept"]:
    """Numbers of the `kept` rows in the order of a hash of their content, not of their place."""
    digests = [blake2b(rows[i].tobytes(), digest_size=16).digest() for i in np.flatnonzero(kept)]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return np.flatnonzero(kept)[np.array(order, dtype=np.int64)]


def unit_rows(rows: Float64[np.ndarray, "neurons d"]) -> Float64[np.ndarray, "neurons d"]:
    """Rows at length one; zero rows stay."""
    length = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def within_cluster(
    rows: Float64[np.ndarray, "neurons d"], labels: Int[np.ndarray, " neurons"], n_experts: int
) -> float:
    """Sum of squared distances of rows to the mean of their expert."""
    n = len(labels)
    member = csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(n_experts, n))
    sums = np.asarray(member @ rows)
    sizes = np.maximum(np.bincount(labels, minlength=n_experts), 1)
    return float(
        np.einsum("nd,nd->", rows, rows) - (np.einsum("ed,ed->e", sums, sums) / sizes).sum()
    )


def start_seeds(seed: int, n: int) -> tuple[int, ...]:
    """A seed of its own for every start; the first n are the same whatever n is."""
    if n < 1:
        raise BadInput(f"{n} starts: at least one is needed, and two to say how far they agree")
    return tuple(int(s) for s in np.random.SeedSequence(seed).generate_state(n))


def agreement(labels: list[Int32[np.ndarray, " neurons"]]) -> SeedAgreement:
    """Mean and least adjusted Rand index over all pairs of starts; NaN for fewer than two."""
    from sklearn.metrics import adjusted_rand_score

    pairs = [
        float(adjusted_rand_score(labels[i], labels[j]))
        for i in range(len(labels))
        for j in range(i)
    ]
    if not pairs or not len(labels[0]):
        return SeedAgreement(float("nan"), float("nan"))
    return SeedAgreement(float(np.mean(pairs)), min(pairs))


def dealt(
    live: Int[np.ndarray, " live"],
    order: Int64[np.ndarray, " live"],
    dead: Bool[np.ndarray, " neurons"],
    *,
    n_experts: int,
    size: int,
) -> Int32[np.ndarray, " neurons"]:
    """Labels of all neurons: those of the live, and the dead dealt in turn to experts with room.

    `order` gives the neuron that each entry of `live` is about.
    """
    labels = np.full(len(dead), -1, np.int32)
    labels[order] = live
    # Experts by their smallest member, so that who gets the dead does not hang on cluster numbers.
    first = [np.flatnonzero(labels == e) for e in range(n_experts)]
    turn = sorted(range(n_experts), key=lambda e: int(first[e][0]) if len(first[e]) else len(dead))
    room = {e: size - len(first[e]) for e in turn}
    left = np.flatnonzero(dead).tolist()
    while left:
        for expert in turn:
            if left and room[expert] > 0:
                labels[left.pop(0)] = expert
                room[expert] -= 1
    return canonical(labels)


def _one_start(
    rows: Float64[np.ndarray, "neurons d"], n_experts: int, *, size: int, n_dead: int, seed: int
) -> tuple[Int32[np.ndarray, " neurons"], int]:
    from k_means_constrained import KMeansConstrained

    if len(rows) <= n_experts:
        return np.arange(len(rows), dtype=np.int32), 1
    if n_experts == 1:
        return np.zeros(len(rows), np.int32), 1
    model = KMeansConstrained(
        n_clusters=n_experts,
        size_min=max(size - n_dead, 1),
        size_max=size,
        n_init=1,
        init=plus_plus,  # pyright: ignore[reportArgumentType]
        max_iter=_MAX_ROUNDS,
        random_state=seed,
    )
    model.fit(rows * _RESOLUTION)
    return np.asarray(model.labels_, dtype=np.int32), int(model.n_iter_)


def _refuse_nan(rows: Float[np.ndarray, "neurons d"]) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise BadInput(
            f"the row of neuron {int(np.argmin(finite))} is not finite: expected numbers"
        )
