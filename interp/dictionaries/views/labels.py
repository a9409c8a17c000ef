"""Which value of a label a feature detects: average precision and its chance, in one pass."""

import numpy as np
from jaxtyping import Float, Int, Integer
from scipy.special import digamma

from interp.dictionaries.views.activity import bins_of
from interp.dictionaries.views.chance import overlap_p
from interp.dictionaries.views.document_lengths import DocumentLengths, expected_documents
from interp.dictionaries.views.firings import Firings, segment_starts
from interp.dictionaries.views.label_columns import LabelColumn
from interp.dictionaries.views.parts import BINS_PER_OCTAVE, N_BINS, Labels
from interp.results.significance import benjamini_hochberg

_PER_OCTAVE = 4
_MERGED = BINS_PER_OCTAVE // _PER_OCTAVE
N_LABEL_BINS = N_BINS // _MERGED
_NO_DOCUMENT = np.iinfo(np.int64).min


class LabelCounts:
    """Histograms of activation by label value, and the documents (or rows) in which each fires.

    Documents are counted once each, also where a batch or a part of the store ends inside one:
    parts are merged in the order of their rows, and a document's rows must follow one another.
    """

    def __init__(self, d_sae: int, column: LabelColumn) -> None:
        n_values = len(column.values)
        self.column = column
        self.histogram = np.zeros((d_sae, n_values, N_LABEL_BINS), np.uint32)
        self.n_rows = np.zeros(n_values, np.int64)
        self._lengths = DocumentLengths(n_values)
        self._firing = _Runs(d_sae, n_values)

    def update(self, core: Firings) -> None:
        """Count a batch without the rows around it."""
        n_values = len(self.column.values)
        value = np.searchsorted(self.column.values, core.labels[self.column.name].astype(np.int64))
        self.n_rows += np.bincount(value, minlength=n_values)
        of_entry = value[core.row]
        place = core.feature.astype(np.int64) * n_values + of_entry
        place = place * N_LABEL_BINS + bins_of(core.value) // _MERGED
        np.add.at(self.histogram.reshape(-1), place, np.uint32(1))
        if self.column.of_documents:
            self._lengths.update(core.document.astype(np.int64), value)
            self._firing.update(core.feature, core.document[core.row], of_entry)

    def merge(self, later: "LabelCounts") -> None:
        """Take in the counts of the rows that follow."""
        self.histogram += later.histogram
        self.n_rows += later.n_rows
        self._lengths.merge(later._lengths)
        self._firing.merge(later._firing)

    def finish(self) -> Labels:
        """Average precision with bounds, and p-values."""
        precision, bounds = average_precision(self.histogram, self.n_rows)
        n, fired, expected = self._units()
        drawn = fired.sum(axis=1, keepdims=True)
        p = overlap_p(
            fired,
            drawn=np.broadcast_to(drawn, fired.shape),
            marked=expected / np.maximum(drawn, 1),
            n=1,
        )
        return Labels(
            column=self.column.name,
            values=self.column.values,
            unit="documents" if self.column.of_documents else "rows",
            n=n,
            base_rate=self.n_rows / max(int(self.n_rows.sum()), 1),
            average_precision=precision,
            average_precision_bounds=bounds,
            fired=fired,
            expected=expected,
            p_value=p,
            q_value=benjamini_hochberg(p.ravel()).reshape(p.shape),
        )

    def _units(
        self,
    ) -> tuple[
        Int[np.ndarray, " values"],
        Int[np.ndarray, "d_sae values"],
        Float[np.ndarray, "d_sae values"],
    ]:
        """Documents or rows with each value; in how many each feature fires, and by chance."""
        if self.column.of_documents:
            lengths, table = self._lengths.by_value()
            fired = self._firing.count
            return table.sum(axis=1), fired, expected_documents(fired.sum(axis=1), lengths, table)
        fired = self.histogram.sum(axis=2, dtype=np.int64)
        shares = self.n_rows / max(int(self.n_rows.sum()), 1)
        return self.n_rows, fired, fired.sum(axis=1, keepdims=True) * shares


class _Runs:
    """For each feature, how many documents it fires in, by label; a document is one run of rows."""

    def __init__(self, n_features: int, n_values: int) -> None:
        self.count = np.zeros((n_features, n_values), np.int64)
        self._first = np.full(n_features, _NO_DOCUMENT)
        self._first_value = np.zeros(n_features, np.int64)
        self._last = np.full(n_features, _NO_DOCUMENT)

    def update(
        self,
        feature: Int[np.ndarray, " n"],
        document: Int[np.ndarray, " n"],
        value: Int[np.ndarray, " n"],
    ) -> None:
        starts = segment_starts(feature)
        if not len(starts):
            return
        ends = np.append(starts[1:], len(feature)) - 1
        firing = feature[starts]
        begins = np.ones(len(feature), bool)
        begins[1:] = (document[1:] != document[:-1]) | (feature[1:] != feature[:-1])
        begins[starts] = document[starts] != self._last[firing]
        np.add.at(self.count, (feature[begins], value[begins]), 1)
        new = self._first[firing] == _NO_DOCUMENT
        self._first[firing[new]] = document[starts[new]]
        self._first_value[firing[new]] = value[starts[new]]
        self._last[firing] = document[ends]

    def merge(self, later: "_Runs") -> None:
        self.count += later.count
        twice = np.flatnonzero((later._first != _NO_DOCUMENT) & (later._first == self._last))
        self.count[twice, later._first_value[twice]] -= 1
        new = self._first == _NO_DOCUMENT
        self._first[new], self._first_value[new] = later._first[new], later._first_value[new]
        known = later._last != _NO_DOCUMENT
        self._last[known] = later._last[known]


def average_precision(
    histogram: Integer[np.ndarray, "d_sae values bins"], n_rows: Int[np.ndarray, " values"]
) -> tuple[Float[np.ndarray, "d_sae values"], Float[np.ndarray, "d_sae values 2"]]:
    """Average precision of every feature for every value, and its bounds inside the bins.

    AP = Σ_b (R_b − R_{b−1}) P_b over the bins from the highest down, the rows at zero as the last;
    R is recall and P precision down to the end of the bin. Bounds of a bin with p positives and m
    negatives below P and M: its positives come last, one by one, Σ_{k=1..p} (P+k)/(P+k+M+m), or
    first and tied, p(P+p)/(P+p+M). NaN for a value without rows.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [
            _one_value(histogram, index, int(n_rows[index]), int(n_rows.sum()))
            for index in range(histogram.shape[1])
        ]
    return np.stack([part[0] for part in parts], 1), np.stack([part[1] for part in parts], 1)


def _one_value(
    histogram: Integer[np.ndarray, "d_sae values bins"], index: int, n: int, total: int
) -> tuple[Float[np.ndarray, " d_sae"], Float[np.ndarray, "d_sae 2"]]:
    positive = histogram[:, index, ::-1].astype(np.float64)
    all_rows = histogram.sum(axis=1, dtype=np.int64)[:, ::-1].astype(np.float64)
    seen = np.cumsum(all_rows, axis=1)
    hits = np.cumsum(positive, axis=1)
    zeros = (n - hits[:, -1]) * (n / total)
    tied = np.where(positive > 0, positive * hits / seen, 0.0).sum(axis=1)
    above, misses = hits - positive, (seen - all_rows) - (hits - positive)
    first = np.where(positive > 0, positive * hits / (hits + misses), 0.0)
    last = _harmonic(positive, above, misses + (all_rows - positive))
    ends = np.stack([last.sum(axis=1), first.sum(axis=1)], axis=1)
    return (tied + zeros) / n, (ends + zeros[:, None]) / n


def _harmonic(positive: np.ndarray, hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Σ_{k=1..p} (P+k)/(P+k+M) = p − M(ψ(P+p+M+1) − ψ(P+M+1)) for p `positive`."""
    before = hits + misses
    found = np.zeros_like(positive)
    some = positive > 0
    p, m, b = positive[some], misses[some], before[some]
    found[some] = p - m * (digamma(b + p + 1) - digamma(b + 1))
    return found
