"""Rows of a site as a probe takes them: float32, flat, a document's tokens pooled."""

import numpy as np
from jaxtyping import Float32

from interp.capture.finite import refuse_not_finite
from interp.capture.store import ActivationStore
from probes.linear.sides import Part, Pool

_READ_AT_ONCE = 1 << 14


def read(store: ActivationStore, site: str, part: Part, pool: Pool) -> Float32[np.ndarray, "n d"]:
    """The rows of one site as they are fitted: trailing axes flattened, tokens pooled."""
    width = int(np.prod(store.shape(site), dtype=np.int64))
    fill = -np.inf if pool == "max" else 0.0
    out = np.full((len(part.codes), width), fill, np.float32)
    for start in range(0, len(part.rows), _READ_AT_ONCE):
        numbers = part.rows[start : start + _READ_AT_ONCE]
        rows = store.rows_at(site, numbers).reshape(len(numbers), width).astype(np.float32)
        refuse_not_finite(rows, site, numbers, str(store.path))
        _pool_into(out, rows, part.unit_of[start : start + _READ_AT_ONCE], pool)
    if pool == "mean":
        out /= np.bincount(part.unit_of, minlength=len(out))[:, None]
    return out


def _pool_into(out: np.ndarray, rows: np.ndarray, units: np.ndarray, pool: Pool) -> None:
    if pool in ("token", "last"):
        # Rows come in corpus order, so that a later token of a document replaces an earlier one.
        out[units] = rows
        return
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    reduce, combine = (np.add, np.add) if pool == "mean" else (np.maximum, np.maximum)
    combine.at(out, units[starts], reduce.reduceat(rows, starts, axis=0))
