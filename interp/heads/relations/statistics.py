"""Statistics of a tally: means over events, triplets and sequences, for every head at once."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.heads.relations.choices import Weight


class SequenceMeans(NamedTuple):
    """What a mean over sequences, or a bootstrap of it, is made of."""

    part: Float[np.ndarray, "documents heads"]
    """Sums of the sequences' means (or of all their events)."""
    whole: Float[np.ndarray, "documents heads"]
    """How many sequences (or events) that is."""

    @property
    def mean(self) -> Float[np.ndarray, " heads"]:
        """NaN for a head without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.part.sum(axis=0) / self.whole.sum(axis=0)


def row_weights(
    whole: Float[np.ndarray, "triplets heads"],
    sequence: Int[np.ndarray, " triplets"],
    weight: Weight,
) -> Float[np.ndarray, "triplets heads"]:
    """What a triplet's sum over its events is multiplied with, so that all add up to the mean.

    By sequence: events of a triplet, triplets of a sequence and sequences each count alike, and
    where `whole` is 0 a triplet does not count. By event: every event counts alike.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if weight == "event":
            return np.broadcast_to(1.0 / whole.sum(axis=0), whole.shape)
        there = whole > 0
        _, row = np.unique(sequence, return_inverse=True)
        n_triplets = _grouped(there.astype(float), row)
        n_sequences = (n_triplets > 0).sum(axis=0)
        return np.where(there, 1.0 / (whole * n_triplets[row] * n_sequences), 0.0)


def sequence_means(
    part: Float[np.ndarray, "triplets heads"],
    whole: Float[np.ndarray, "triplets heads"],
    sequence: Int[np.ndarray, " triplets"],
    document: Int[np.ndarray, " triplets"],
    weight: Weight,
) -> SequenceMeans:
    """part / whole by triplet, averaged over the triplets of each sequence, by document."""
    if weight == "event":
        _, row = np.unique(document, return_inverse=True)
        return SequenceMeans(_grouped(part, row), _grouped(whole, row))
    there = whole > 0
    means = np.divide(part, whole, out=np.zeros_like(part, dtype=float), where=there)
    numbers, first, row = np.unique(sequence, return_index=True, return_inverse=True)
    n = _grouped(there.astype(float), row)
    of_sequence = np.divide(_grouped(means, row), n, out=np.zeros_like(n), where=n > 0)
    _, of_document = np.unique(document[first], return_inverse=True)
    del numbers
    return SequenceMeans(_grouped(of_sequence, of_document), _grouped((n > 0) * 1.0, of_document))


def interval(
    means: SequenceMeans, *, rng: np.random.Generator, draws: int = 2000
) -> tuple[Float[np.ndarray, " heads"], Float[np.ndarray, " heads"]]:
    """95% percentile bootstrap over documents, the same draws for all heads; NaN below two."""
    n = len(means.part)
    if n < 2:
        nan = np.full(means.part.shape[1], np.nan)
        return nan, nan
    chosen = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (chosen @ means.part) / (chosen @ means.whole)
    known = np.isfinite(ratios).mean(axis=0) >= 0.95
    low, high = np.full(len(known), np.nan), np.full(len(known), np.nan)
    if known.any():
        low[known], high[known] = np.nanquantile(ratios[:, known], [0.025, 0.975], axis=0)
    return low, high


def support(
    n_events: Float[np.ndarray, "triplets heads"], sequence: Int[np.ndarray, " triplets"]
) -> tuple[Float[np.ndarray, " heads"], Float[np.ndarray, " heads"]]:
    """Events of each head, and sequences that have one."""
    _, row = np.unique(sequence, return_inverse=True)
    return n_events.sum(axis=0), (_grouped(n_events, row) > 0).sum(axis=0).astype(float)


def coverage(gates: Bool[np.ndarray, "events heads"], heads: Bool[np.ndarray, " heads"]) -> float:
    """Share of events where any of `heads` passes its gate; 0 where there are no such heads."""
    return float(gates[:, heads].any(axis=1).mean()) if heads.any() and len(gates) else 0.0


def _grouped(
    values: Float[np.ndarray, "rows heads"], row: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "groups heads"]:
    sums = np.zeros((int(row.max()) + 1 if len(row) else 0, values.shape[1]))
    np.add.at(sums, row, values)
    return sums
