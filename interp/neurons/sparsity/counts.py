"""Sparsity of one layer gathered row by row: counts, moments, histograms, sums by sequence."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from interp.neurons.sparsity.definitions import SHARES, SHARES_LEFT
from interp.neurons.sparsity.token_measures import (
    effective_count,
    hoyer,
    kept_largest,
    neurons_needed,
    output_left_out,
    ranked,
)
from interp.results.errors import BadInput, Mismatch
from interp.results.sequence_sums import SequenceSums

Active = Callable[[Float[Tensor, "rows neurons"]], Bool[Tensor, "rows neurons"]]


class SparsityCounts:
    """Everything `LayerSparsity` is made of, over rows of one layer.

    Any cut of the rows and any order of merging give the same integers, and floats to 1e-12. Holds
    a bit for every neuron and sequence (which ever fired): 400 KB for 1,000 sequences of 3,072.
    """

    def __init__(
        self,
        n_neurons: int,
        *,
        active: Active,
        W_out: Float[Tensor, "neurons d_model"] | None = None,
    ) -> None:
        self.active = active
        self.W_out = W_out
        self.n_rows = 0
        self.on = np.zeros(n_neurons, np.int64)
        self.sum = np.zeros(n_neurons)
        self.sum_squares = np.zeros(n_neurons)
        self.sum_sizes = np.zeros(n_neurons)
        self.largest = np.zeros(n_neurons)
        self.histogram = np.zeros(n_neurons + 1, np.int64)
        self.by_sequence = SequenceSums()
        self.ever_on: dict[int, np.ndarray] = {}

    def update(self, h: Float[Tensor, "rows neurons"], sequence: Int[np.ndarray, " rows"]) -> None:
        """Take in rows and the number of the sequence of each. BadInput for NaN."""
        if h.shape[1] != len(self.on):
            raise Mismatch(f"rows of {h.shape[1]} neurons, for a layer of {len(self.on)}")
        if not bool(torch.isfinite(h).all()):
            raise BadInput("the rows hold NaN or infinity: capture them again in float32")
        if len(h) == 0:
            return
        on = self.active(h)
        self._add_moments(h, on)
        self._add_sequences(on.cpu().numpy(), sequence)
        values = token_values(h, on, self.W_out)
        self.by_sequence.update(sequence, {name: v.cpu().numpy() for name, v in values.items()})

    def merge(self, other: "SparsityCounts") -> None:
        """Take in what was gathered over other rows."""
        if len(other.on) != len(self.on):
            raise Mismatch(f"counts of {len(other.on)} and {len(self.on)} neurons: not one layer")
        self.n_rows += other.n_rows
        for name in ("on", "sum", "sum_squares", "sum_sizes", "histogram"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.largest = np.maximum(self.largest, other.largest)
        self.by_sequence.merge(other.by_sequence)
        for sequence, bits in other.ever_on.items():
            self._fired(sequence, bits)

    def finish(self) -> "Gathered":
        """The sums as arrays, sequences in the order of their numbers."""
        n = max(self.n_rows, 1)
        mean = self.sum / n
        order = sorted(self.ever_on)
        union = [int(np.unpackbits(self.ever_on[number]).sum()) for number in order]
        of = self.by_sequence.finish()
        return Gathered(
            n_rows=self.n_rows,
            on=self.on,
            mean=mean,
            sd=np.sqrt(np.maximum(self.sum_squares / n - mean**2, 0.0)),
            mean_size=self.sum_sizes / n,
            largest=self.largest,
            histogram=self.histogram,
            names=of.names,
            sums=of.sums,
            union=np.array(union, dtype=np.int64),
        )

    def _add_moments(self, h: Tensor, on: Tensor) -> None:
        values = h.double()
        self.n_rows += len(h)
        self.on = self.on + on.sum(0).cpu().numpy()
        self.sum = self.sum + values.sum(0).cpu().numpy()
        self.sum_squares = self.sum_squares + values.square().sum(0).cpu().numpy()
        self.sum_sizes = self.sum_sizes + values.abs().sum(0).cpu().numpy()
        self.largest = np.maximum(self.largest, values.abs().amax(0).cpu().numpy())
        counts = on.sum(1).cpu().numpy()
        self.histogram = self.histogram + np.bincount(counts, minlength=len(self.histogram))

    def _add_sequences(self, on: np.ndarray, sequence: np.ndarray) -> None:
        for number in np.unique(sequence).tolist():
            self._fired(number, np.packbits(on[sequence == number].any(axis=0)))

    def _fired(self, sequence: int, bits: np.ndarray) -> None:
        had = self.ever_on.get(sequence)
        self.ever_on[sequence] = bits if had is None else had | bits


class Gathered(NamedTuple):
    """What `SparsityCounts` holds when it is done."""

    n_rows: int
    on: Int64[np.ndarray, " neurons"]
    mean: Float64[np.ndarray, " neurons"]
    sd: Float64[np.ndarray, " neurons"]
    mean_size: Float64[np.ndarray, " neurons"]
    largest: Float64[np.ndarray, " neurons"]
    histogram: Int64[np.ndarray, " counts"]
    names: tuple[str, ...]
    sums: Float64[np.ndarray, "sequences names"]
    union: Int64[np.ndarray, " sequences"]


def token_values(
    h: Float[Tensor, "rows neurons"],
    on: Bool[Tensor, "rows neurons"],
    W_out: Float[Tensor, "neurons d_model"] | None,
) -> dict[str, Float64[Tensor, " rows"]]:
    """Of every row what is averaged, by name; shares of the layer's neurons where it is a count.

    Where a measure has no value it is 0, and `nonzero` or `written`, its count, is 0 too. Without
    W_out nothing is said of the output.
    """
    n = h.shape[1]
    nonzero = (h != 0).any(dim=1)
    values = {
        "active": on.double().mean(1),
        "nonzero": nonzero.double(),
        "hoyer": hoyer(h).nan_to_num(0.0),
        "effective": (effective_count(h) / n).nan_to_num(0.0),
    }
    if W_out is None:
        return values
    dropped = output_left_out(h, on, W_out)
    values |= {"written": dropped.isfinite().double(), "dropped": dropped.nan_to_num(0.0)}
    order = ranked(h.abs() * W_out.norm(dim=1))
    for share in SHARES:
        needed = neurons_needed(order, share)
        values[f"needed_{share:g}"] = needed.double() / n
        if share in SHARES_LEFT:
            left = output_left_out(h, kept_largest(order, needed), W_out)
            values[f"left_{share:g}"] = left.nan_to_num(0.0)
    return values
