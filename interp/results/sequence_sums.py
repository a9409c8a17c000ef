"""Sums of row statistics by sequence, and the bootstrap of whatever is made of such sums."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.results.intervals import Interval

ROWS = "rows"
"""The name under which every sequence's number of rows stands among the sums."""
_AT_ONCE = 1 << 22

Totals = Mapping[str, Float[np.ndarray, " draws"]]
Statistic = Callable[[Totals], dict[str, Float[np.ndarray, " draws"]]]
"""From sums over some sequences, by name, to the measures made of them."""


class BySequence(NamedTuple):
    """Sums over the rows of every sequence."""

    names: tuple[str, ...]
    sums: Float[np.ndarray, "sequences names"]

    def column(self, name: str) -> Float[np.ndarray, " sequences"]:
        """One statistic's sums."""
        return self.sums[:, self.names.index(name)]


class SequenceSums:
    """Sums of row statistics for each sequence, whatever the cut into batches, in float64."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def update(
        self,
        sequence: Int[np.ndarray, " rows"],
        values: Mapping[str, Float[np.ndarray, " rows"]],
    ) -> None:
        """Add some rows: the sequence of each, and its statistics by name, always the same ones."""
        names = (ROWS, *values)
        if self._names and names != self._names:
            raise ValueError(f"statistics {names} after {self._names}")
        self._names = names
        columns = [np.ones(len(sequence)), *values.values()]
        self._parts.append(_grouped(sequence, np.stack(columns, axis=1, dtype=np.float64)))
        if len(self._parts) > 256:
            self._parts = [self._gathered()]

    def merge(self, other: "SequenceSums") -> None:
        """Add what another reader of other rows has summed."""
        self._names = self._names or other._names
        self._parts += other._parts

    def finish(self) -> BySequence:
        """The sums, sequences in the order of their numbers."""
        if not self._parts:
            return BySequence(self._names, np.zeros((0, len(self._names))))
        return BySequence(self._names, self._gathered()[1])

    def _gathered(self) -> tuple[np.ndarray, np.ndarray]:
        sequences, sums = zip(*self._parts, strict=True)
        return _grouped(np.concatenate(sequences), np.concatenate(sums))


def bootstrap(
    of: BySequence, statistic: Statistic, *, rng: np.random.Generator, draws: int = 2000
) -> dict[str, Interval]:
    """Every measure of `statistic` over all sequences, with its 95% percentile interval.

    Whole sequences are drawn again, because tokens of one are not independent; all measures see
    the same draws. Fewer than two sequences give NaN ends, a measure without a value NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(_totals(of.names, of.sums.sum(axis=0, keepdims=True)))
        drawn = statistic(_totals(of.names, _resampled(of.sums, draws, rng)))
    if len(of.sums) < 2:
        return {name: Interval(_scalar(v), np.nan, np.nan) for name, v in values.items()}
    return {name: _interval(_scalar(values[name]), drawn[name]) for name in values}


def _grouped(sequence: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers, place = np.unique(sequence, return_inverse=True)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, place, rows)
    return numbers, sums


def _resampled(
    sums: Float[np.ndarray, "sequences names"], draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws names"]:
    n = len(sums)
    if n < 2:
        return np.full((1, sums.shape[1]), np.nan)
    block = max(1, _AT_ONCE // n)
    pieces = []
    for start in range(0, draws, block):
        size = min(block, draws - start)
        chosen = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        pieces.append(counts.astype(np.float64) @ sums)
    return np.concatenate(pieces)


def _totals(names: tuple[str, ...], sums: Float[np.ndarray, "draws names"]) -> Totals:
    return {name: sums[:, i] for i, name in enumerate(names)}


def _scalar(values: np.ndarray) -> float:
    value = float(values[0]) if len(values) else np.nan
    return value if np.isfinite(value) else float("nan")


def _interval(value: float, drawn: np.ndarray) -> Interval:
    finite = drawn[np.isfinite(drawn)]
    # More draws without a value than lie outside of an interval: its ends are not known.
    if len(finite) < 0.95 * len(drawn) or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(finite, [0.025, 0.975])
    return Interval(value, float(low), float(high))
