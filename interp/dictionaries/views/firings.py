"""Firings: which features fire in a batch of rows and how strongly, sorted by feature and row."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt64


@dataclass(frozen=True, kw_only=True)
class Firings:
    """The non-zero entries of [rows, d_sae], feature by feature, and the columns beside the rows.

    Rows before `start` and from `stop` on are there for contexts alone: another batch counts them.
    """

    d_sae: int
    first_row: int
    """Number in the store of the row with index 0 here."""
    start: int
    stop: int
    feature: Int[np.ndarray, " n"]
    """Not decreasing."""
    row: Int[np.ndarray, " n"]
    """Index in the batch, increasing within a feature."""
    value: Float32[np.ndarray, " n"]
    token: Int[np.ndarray, " rows"]
    document: Int[np.ndarray, " rows"]
    sequence: Int[np.ndarray, " rows"]
    labels: Mapping[str, Shaped[np.ndarray, " rows"]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Rows that this batch counts."""
        return self.stop - self.start

    @property
    def counted(self) -> Bool[np.ndarray, " n"]:
        """Which entries belong to rows that this batch counts."""
        return (self.row >= self.start) & (self.row < self.stop)

    @property
    def rows(self) -> Int[np.ndarray, " counted"]:
        """Numbers in the store of the rows that this batch counts."""
        return np.arange(self.first_row + self.start, self.first_row + self.stop, dtype=np.int64)

    def core(self) -> "Firings":
        """The same without the rows around."""
        keep, inside = self.counted, slice(self.start, self.stop)
        return Firings(
            d_sae=self.d_sae,
            first_row=self.first_row + self.start,
            start=0,
            stop=self.n_rows,
            feature=self.feature[keep],
            row=self.row[keep] - self.start,
            value=self.value[keep],
            token=self.token[inside],
            document=self.document[inside],
            sequence=self.sequence[inside],
            labels={name: label[inside] for name, label in self.labels.items()},
        )


def segment_starts(feature: Int[np.ndarray, " n"]) -> Int[np.ndarray, " segments"]:
    """Where each feature's run begins in a sorted column."""
    if not len(feature):
        return np.zeros(0, np.int64)
    return np.concatenate([[0], np.flatnonzero(feature[1:] != feature[:-1]) + 1])


def scrambled(numbers: Int[np.ndarray, " n"], seed: int) -> UInt64[np.ndarray, " n"]:
    """A 64-bit hash of each number (SplitMix64, Steele, Lea and Flood 2014): uniform, repeatable.

    A choice by hash of the row is the same whatever the order in which rows come.
    """
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
