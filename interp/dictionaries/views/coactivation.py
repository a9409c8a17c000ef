"""Which features fire together, counted over all rows or an even sample of them, in one pass."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int
from scipy import sparse

from interp.dictionaries.views.chance import overlap_p
from interp.dictionaries.views.firings import Firings, scrambled
from interp.dictionaries.views.parts import Coactivation
from interp.dictionaries.views.ranking import largest

MAX_ENTRIES = 1 << 22
"""Activations kept: 4 million are all rows of 130,000 tokens at 32 active features."""
_BLOCK_ENTRIES = 1 << 23
_SEED = 1


class FiringSample:
    """The active features of the rows whose hash is lowest: as many rows as `max_entries` hold.

    While all fit, all are kept and the counts are exact. When they do not, the half with the higher
    hashes goes, again and again: what is left is a uniform sample that does not depend on how the
    rows were cut or in which order they came.
    """

    def __init__(self, d_sae: int, *, max_entries: int = MAX_ENTRIES) -> None:
        self._d_sae = d_sae
        self._max_entries = max_entries
        self._level = 0
        self._rows: list[np.ndarray] = []
        self._features: list[np.ndarray] = []
        self._n_entries = 0
        self._n_rows = np.zeros(65, np.int64)

    def update(self, core: Firings) -> None:
        """Take in a batch without the rows around it."""
        numbers = core.rows
        depth = _depth(scrambled(numbers, _SEED))
        self._n_rows += np.bincount(depth, minlength=65)
        chosen = depth[core.row] >= self._level
        self._add(numbers[core.row[chosen]], core.feature[chosen])

    def merge(self, other: "FiringSample") -> None:
        """Take in the sample of other rows."""
        self._n_rows += other._n_rows
        self._level = max(self._level, other._level)
        for rows, features in zip(other._rows, other._features, strict=True):
            self._add(rows, features)
        self._shrink()

    def finish(self, keep: int) -> Coactivation:
        """The `keep` features with the highest phi for each feature."""
        self._shrink()
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        features = np.concatenate([np.zeros(0, np.int32), *self._features])
        n_rows = int(self._n_rows[self._level :].sum())
        return coactivation(rows, features, d_sae=self._d_sae, n_rows=n_rows, keep=keep)

    def _add(self, rows: np.ndarray, features: np.ndarray) -> None:
        self._rows.append(rows)
        self._features.append(features.astype(np.int32))
        self._n_entries += len(rows)
        if self._n_entries > self._max_entries:
            self._shrink()

    def _shrink(self) -> None:
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        features = np.concatenate([np.zeros(0, np.int32), *self._features])
        depth = _depth(scrambled(rows, _SEED))
        while (kept := int((depth >= self._level).sum())) > self._max_entries:
            self._level += 1
        keep = depth >= self._level
        self._rows, self._features, self._n_entries = [rows[keep]], [features[keep]], kept


def _depth(hashes: np.ndarray) -> Int[np.ndarray, " n"]:
    """Leading zero bits of 64-bit hashes: half of all have none, a quarter one, and so on."""
    # float64 keeps the highest bit of what is rounded down to 53 bits.
    top = (hashes >> np.uint64(11)).astype(np.float64)
    return np.where(top > 0, 53 - np.frexp(top)[1], 53).astype(np.int64)


def coactivation(
    rows: Int[np.ndarray, " n"],
    features: Int[np.ndarray, " n"],
    *,
    d_sae: int,
    n_rows: int,
    keep: int,
) -> Coactivation:
    """The `keep` partners of each feature with the highest phi, from the entries of `n_rows` rows.

    phi = (n·n_ij − n_i·n_j) / √(n_i(n − n_i) n_j(n − n_j)) (Pearson's, of two indicators). Counts
    are taken in blocks of features, so that no [d_sae, d_sae] array is ever there.
    """
    _, index = np.unique(rows, return_inverse=True)
    ones = np.ones(len(rows), np.float32)
    fires = sparse.csr_matrix((ones, (index, features)), shape=(index.max(initial=-1) + 1, d_sae))
    by_feature = fires.T.tocsr()
    count = np.bincount(features, minlength=d_sae)
    keep = min(keep, d_sae - 1)
    step = max(_BLOCK_ENTRIES // d_sae, 1)
    blocks = [
        _partners(by_feature[start : start + step] @ fires, count, start, n_rows, keep)
        for start in range(0, d_sae, step)
    ]
    partner, phi, together = (np.concatenate(column) for column in zip(*blocks, strict=True))
    expected = count[:, None] * count[partner] / max(n_rows, 1)
    p = overlap_p(
        together,
        drawn=np.broadcast_to(count[:, None], partner.shape),
        marked=count[partner],
        n=n_rows,
    )
    nothing = ~(phi > 0)
    return Coactivation(
        feature=np.where(nothing, -1, partner).astype(np.int32),
        phi=np.where(nothing, np.nan, phi),
        together=np.where(nothing, 0, together).astype(np.int64),
        expected=np.where(nothing, np.nan, expected),
        p_value=np.where(nothing, np.nan, np.minimum(p * (d_sae * (d_sae - 1) / 2), 1.0)),
        n_rows=n_rows,
    )


class _Block(NamedTuple):
    partner: Int[np.ndarray, "features keep"]
    phi: Float32[np.ndarray, "features keep"]
    together: Float32[np.ndarray, "features keep"]


def _partners(
    product: sparse.csr_matrix, count: Int[np.ndarray, " d_sae"], start: int, n: int, keep: int
) -> _Block:
    together = product.toarray()
    features = np.arange(start, start + len(together))
    spread = np.sqrt(count.astype(np.float64) * (n - count)).astype(np.float32)
    phi = together * np.float32(n)
    phi -= np.multiply.outer(count[features].astype(np.float32), count.astype(np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        phi /= spread[features, None]
        phi /= spread
    # A feature that always or never fires goes with nothing.
    phi[~np.isfinite(phi)] = -2.0
    phi[np.arange(len(features)), features] = -2.0
    best = largest(phi, keep)
    return _Block(
        best, np.take_along_axis(phi, best, axis=1), np.take_along_axis(together, best, axis=1)
    )
