"""From the sums of a layer to its measures, each with interval and n."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from interp.neurons.sparsity.counts import Gathered
from interp.neurons.sparsity.definitions import MEASURES
from interp.results.intervals import Interval, wilson
from interp.results.sequence_sums import ROWS, BySequence, Totals, bootstrap

_COUNTED_BY = {"active": ROWS, "hoyer": "nonzero", "effective": "nonzero"}


class Measured(NamedTuple):
    """The row of one layer, in the order of MEASURES."""

    value: Float64[np.ndarray, " measures"]
    low: Float64[np.ndarray, " measures"]
    high: Float64[np.ndarray, " measures"]
    n: Int64[np.ndarray, " measures"]


def layer_measures(found: Gathered, *, seed: int, draws: int = 2000) -> Measured:
    """All measures of a layer; NaN with n = 0 for those that nothing was gathered for."""
    cells = {**_by_token(found, seed, draws), **_by_neuron(found)}
    missing = (Interval(float("nan"), float("nan"), float("nan")), 0)
    rows = [cells.get(key, missing) for key in MEASURES]
    ends = np.array([interval for interval, _ in rows], dtype=np.float64).reshape(-1, 3)
    n = np.array([n for _, n in rows], dtype=np.int64)
    return Measured(ends[:, 0], ends[:, 1], ends[:, 2], n)


def _by_token(found: Gathered, seed: int, draws: int) -> dict[str, tuple[Interval, int]]:
    if found.n_rows == 0:
        return {}
    with_union = _with_unions(found)
    keys = [key for key in MEASURES if key in with_union.names]

    def statistic(totals: Totals) -> dict[str, Float[np.ndarray, " draws"]]:
        return {key: totals[key] / totals[_counted(key)] for key in keys}

    rng = np.random.default_rng(seed)
    intervals = bootstrap(with_union, statistic, rng=rng, draws=draws)
    n = {key: int(with_union.column(_counted(key)).sum()) for key in keys}
    return {key: (intervals[key], n[key]) for key in keys}


def _counted(key: str) -> str:
    if key.startswith("in_sequence"):
        return "sequences"
    # A row of zeros needs no neuron at all and has no output to leave any of out.
    by_output = "nonzero" if key.startswith("needed") else "written"
    return _COUNTED_BY.get(key, by_output)


def _with_unions(found: Gathered) -> BySequence:
    rates = found.on / max(found.n_rows, 1)
    lengths = found.sums[:, found.names.index(ROWS)]
    # By the distinct lengths: most sequences of a corpus have the same.
    by_length = {length: float(np.mean(1 - (1 - rates) ** length)) for length in set(lengths)}
    columns = [
        found.union / len(found.on),
        np.array([by_length[length] for length in lengths]),
        np.ones(len(lengths)),
    ]
    return BySequence(
        (*found.names, "in_sequence", "in_sequence_independent", "sequences"),
        np.column_stack([found.sums, *columns]),
    )


def _by_neuron(found: Gathered) -> dict[str, tuple[Interval, int]]:
    n = len(found.on)
    if found.n_rows == 0:
        return {}
    dead, dense = int((found.on == 0).sum()), int((found.on > found.n_rows / 2).sum())
    return {"dead": (wilson(dead, n), n), "dense": (wilson(dense, n), n)}
