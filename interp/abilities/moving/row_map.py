"""Rows of one model's embedding in another's, where the two vocabularies differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Run(NamedTuple):
    """Entries that lie one after the other in both models."""

    at: int
    """First of them, counted from the start of the piece asked for."""
    source: int
    """First of them in the other model's tensor."""
    length: int


@dataclass(frozen=True, eq=False)
class RowMap:
    """For every row of the base, the row of the other model that stands for the same token."""

    source: Int64[np.ndarray, " rows"]
    """-1 where none does: a token that the other lacks, or padding."""

    @property
    def n_alone(self) -> int:
        """Rows of the base that no row of the other stands for."""
        return int(np.count_nonzero(self.source < 0))

    @property
    def is_identity(self) -> bool:
        """Whether every row stands for itself."""
        return bool((self.source == np.arange(self.source.size)).all())

    def runs(self, start: int, stop: int, *, width: int) -> Iterator[Run]:
        """The entries [start, stop) of the base's flat tensor that have a source, run by run."""
        first, last = start // width, -(-stop // width)
        rows = self.source[first:last]
        breaks = np.flatnonzero((np.diff(rows) != 1) | (rows[1:] < 0) | (rows[:-1] < 0)) + 1
        edges = [0, *breaks.tolist(), rows.size]
        for one, two in zip(edges[:-1], edges[1:], strict=True):
            if one == two or rows[one] < 0:
                continue
            begin = max((first + one) * width, start)
            end = min((first + two) * width, stop)
            shift = (int(rows[one]) - (first + one)) * width
            yield Run(begin - start, begin + shift, end - begin)


def rows_by_token(
    base: Mapping[str, int] | None, other: Mapping[str, int] | None, *, n_base: int, n_other: int
) -> RowMap:
    """Every row of the base and the other's row of the same token string.

    Where either tokenizer is not known rows stand for themselves. Rows beyond the tokens of the
    base, or of the other, are padding and stand for nothing.
    """
    source = np.full(n_base, -1, dtype=np.int64)
    if base is None or other is None:
        known = base or other or {}
        n = min(n_base, n_other, max(known.values(), default=n_base) + 1)
        source[:n] = np.arange(n)
        return RowMap(source)
    for token, row in base.items():
        found = other.get(token, -1)
        if row < n_base and 0 <= found < n_other:
            source[row] = found
    return RowMap(source)
