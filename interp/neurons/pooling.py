"""Pooling: one value a unit for each row of a question, from the tokens that make the row."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from interp.capture.finite import refuse_not_finite
from interp.capture.store import ActivationStore
from interp.neurons.scores import Pooling

Transform = Callable[[Float[Tensor, "rows ..."]], Float[Tensor, "rows units"]]
"""Rows of a site, trailing axes kept, to the units that are judged; each row by itself."""
_BLOCK_BYTES = 1 << 25


def flatten(rows: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows units"]:
    """Every entry of a row as a unit of its own."""
    return rows.reshape(len(rows), -1)


def head_norms(rows: Float[Tensor, "rows n_heads d_head"]) -> Float[Tensor, "rows n_heads"]:
    """The norm of every head's vector: how much it moves, whatever the direction.

    Each of the `d_head` directions by itself is a unit of `flatten`.
    """
    return rows.norm(dim=-1)


class Pool:
    """Values pooled over the tokens of every row, one block of tokens after another.

    Highest, mean, or last token. The mean is summed in float64 token by token, so that it does not
    depend on where blocks end, and rows must come in the order of the store.
    """

    def __init__(self, kind: Pooling, n_rows: int, n_units: int) -> None:
        self._kind = kind
        self._count = np.zeros(n_rows, np.int64)
        empty, dtype = (0.0, np.float64) if kind == "mean" else (-np.inf, np.float32)
        self._values = np.full((n_rows, n_units), empty, dtype)

    def update(
        self, values: Float[np.ndarray, "tokens units"], row: Int64[np.ndarray, " tokens"]
    ) -> None:
        """Take in some tokens; `row` is -1 for those that are part of none."""
        inside = row >= 0
        if not inside.any():
            return
        values, row = values[inside], row[inside]
        self._count += np.bincount(row, minlength=len(self._count))
        if self._kind == "max":
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            np.maximum.at(self._values, row[starts], np.maximum.reduceat(values, starts, axis=0))
        elif self._kind == "mean":
            np.add.at(self._values, row, values)
        else:
            # Of equal indices the last is kept, and tokens come in order.
            self._values[row] = values

    def finish(self) -> Float32[np.ndarray, "rows units"]:
        """The pooled values; every row has at least one token."""
        if self._kind == "mean":
            return (self._values / self._count[:, None]).astype(np.float32)
        return self._values


def pooled_values(
    store: ActivationStore,
    site: str,
    row_of: Int64[np.ndarray, "masks n_tokens"],
    *,
    n_rows: int,
    kind: Pooling,
    units: slice,
    transform: Transform | None = None,
) -> Float32[np.ndarray, "rows chunk"]:
    """The rows of some units of a site, in one pass over the store.

    Holds one block of the store and the result. Raises BadInput on NaN or infinity, naming the row.
    """
    width = int(np.prod(store.shape(site), dtype=np.int64))
    step = max(_BLOCK_BYTES // max(4 * width, 1), 1)
    wanted = row_of.max(axis=0) >= 0
    pool: Pool | None = None
    for start in range(0, store.n_rows, step):
        stop = min(start + step, store.n_rows)
        if not wanted[start:stop].any():
            continue
        values = _units_of(store, site, start, stop, transform)[:, units]
        pool = pool or Pool(kind, n_rows, values.shape[1])
        for places in row_of:
            pool.update(values, places[start:stop])
    assert pool is not None, "a question without a token"
    return pool.finish()


def count_units(store: ActivationStore, site: str, transform: Transform | None) -> int:
    """How many units the rows of a site have."""
    return _units_of(store, site, 0, 1, transform).shape[1]


@torch.no_grad()
def _units_of(
    store: ActivationStore, site: str, start: int, stop: int, transform: Transform | None
) -> Float[np.ndarray, "rows units"]:
    rows = store.rows(site, start, stop).astype(np.float32, copy=False)
    refuse_not_finite(rows.reshape(len(rows), -1), site, start, str(store.path))
    if transform is None:
        return rows.reshape(len(rows), -1)
    return transform(torch.from_numpy(rows)).cpu().numpy()
