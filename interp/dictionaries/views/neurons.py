"""Which neurons of a second site go with a feature: Pearson correlations, in one pass."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from interp.dictionaries.views.firings import Firings, scrambled, segment_starts
from interp.dictionaries.views.parts import Neurons
from interp.dictionaries.views.ranking import largest

N_NULL = 32
_STRATUM = 2.0
_BLOCK = 1024
_SEED = 2


@dataclass(frozen=True)
class NullBank:
    """Neuron values from all over the store, to be laid against rows they do not belong to."""

    values: Float32[np.ndarray, "bank n_null"]
    centre: Float32[np.ndarray, " n_neurons"]
    """Taken off every neuron before products are summed: float32 sums then lose nothing."""
    columns: Int[np.ndarray, " n_null"]
    """Which neurons the bank holds."""

    def beside(
        self, rows: Int[np.ndarray, " rows"], document: Int[np.ndarray, " rows"]
    ) -> Float32[np.ndarray, "rows n_null"]:
        """A stretch of the bank for each document, from a place that its number decides."""
        start = scrambled(document, _SEED) % np.uint64(len(self.values))
        return self.values[(start.astype(np.int64) + rows) % len(self.values)]


class NeuronSums:
    """Sums of products of every feature with every neuron: float32, [d_sae, n_neurons + n_null]."""

    def __init__(self, d_sae: int, bank: NullBank) -> None:
        self._bank = bank
        n_neurons, n_null = len(bank.centre), bank.values.shape[1]
        self._n_neurons = n_neurons
        self._n_rows = 0
        self._feature = np.zeros((2, d_sae))
        self._neuron = np.zeros((2, n_neurons + n_null))
        self._cross = torch.zeros(d_sae, n_neurons + n_null)

    def update(self, core: Firings, neurons: Float[np.ndarray, "rows n_neurons"]) -> None:
        """Add a batch without the rows around it; `neurons` belong to its rows."""
        value = np.empty((core.n_rows, self._cross.shape[1]), np.float32)
        np.subtract(neurons, self._bank.centre, out=value[:, : self._n_neurons])
        beside = self._bank.beside(core.rows, core.document)
        value[:, self._n_neurons :] = beside - self._bank.centre[self._bank.columns]
        self._n_rows += core.n_rows
        self._neuron[0] += value.sum(axis=0, dtype=np.float64)
        self._neuron[1] += np.einsum("rc,rc->c", value, value)
        for power in (1, 2):
            self._feature[power - 1] += np.bincount(
                core.feature, core.value.astype(np.float64) ** power, self._feature.shape[1]
            )
        firing, products = _products(core, torch.from_numpy(value))
        self._cross.index_add_(0, firing, products)

    def merge(self, other: "NeuronSums") -> None:
        """Add the sums over other rows, taken with the same bank."""
        self._n_rows += other._n_rows
        self._feature += other._feature
        self._neuron += other._neuron
        self._cross += other._cross

    def finish(self, site: str, keep: int) -> Neurons:
        """The `keep` neurons with the largest |r| for each feature, and what chance gives."""
        keep = min(keep, self._n_neurons)
        blocks = [self._best(start, keep) for start in range(0, self._cross.shape[0], _BLOCK)]
        neuron, r, null = (np.concatenate(column) for column in zip(*blocks, strict=True))
        return Neurons(
            site=site,
            neuron=neuron.astype(np.int32),
            correlation=r,
            null=null_maxima(null, self._feature[0] > 0, self._density(), self._n_neurons),
        )

    def _density(self) -> Float[np.ndarray, " d_sae"]:
        """Effective number of rows behind each feature: (Σf)² / Σf²."""
        total, squares = self._feature
        return total**2 / np.where(squares > 0, squares, 1.0)

    def _best(self, start: int, keep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r = self._correlation(start)
        strength = np.abs(np.nan_to_num(r[:, : self._n_neurons]))
        best = largest(strength, keep)
        return best, np.take_along_axis(r, best, axis=1), r[:, self._n_neurons :]

    def _correlation(self, start: int) -> Float[np.ndarray, "block columns"]:
        n = max(self._n_rows, 1)
        total, squares = self._feature[:, start : start + _BLOCK]
        cross = self._cross[start : start + _BLOCK].numpy().astype(np.float64)
        covariance = cross / n - np.multiply.outer(total / n, self._neuron[0] / n)
        of_feature = squares / n - (total / n) ** 2
        of_neuron = self._neuron[1] / n - (self._neuron[0] / n) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            r = covariance / np.sqrt(np.multiply.outer(of_feature, of_neuron))
        # A constant, such as a feature that never fires, goes with nothing.
        constant = np.logical_or.outer(of_feature <= 0, of_neuron <= 1e-12)
        return np.where(constant, np.nan, np.clip(r, -1.0, 1.0))


def _products(
    core: Firings, value: Float[Tensor, "rows columns"]
) -> tuple[Int[Tensor, " firing"], Float[Tensor, "firing columns"]]:
    """Σ over rows of activation times `value`, for the features that fire."""
    starts = segment_starts(core.feature)
    firing = torch.from_numpy(core.feature[starts].astype(np.int64))
    if not len(starts):
        return firing, value.new_zeros(0, value.shape[1])
    products = torch.nn.functional.embedding_bag(
        torch.from_numpy(core.row.astype(np.int64)),
        value,
        torch.from_numpy(starts.astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(core.value),
    )
    return firing, products


def null_maxima(
    null: Float[np.ndarray, "d_sae n_null"],
    fires: np.ndarray,
    density: Float[np.ndarray, " d_sae"],
    n_neurons: int,
) -> Float[np.ndarray, " d_sae"]:
    """What the largest of `n_neurons` chance correlations exceeds in 5%, by density of the feature.

    Features are pooled by octaves of their number of rows; the pooled |r| are read at the quantile
    1 − (1 − .95^(1/n)), and at their largest where there are too few for it.
    """
    found = np.full(len(null), np.nan)
    octave = np.floor(np.log(np.maximum(density, 1.0)) / np.log(_STRATUM)).astype(np.int64)
    for level in np.unique(octave[fires]):
        members = np.flatnonzero(fires & (octave == level))
        pooled = np.abs(null[members])
        pooled = pooled[~np.isnan(pooled)]
        if len(pooled):
            found[members] = np.quantile(pooled, 0.95 ** (1 / n_neurons), method="higher")
    return found
