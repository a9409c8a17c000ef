"""Shuffled rows of a store, for training: numbered buffers of several sites, or torch batches."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.capture.finite import finite_rows
from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

BUFFER_BYTES = 256 << 20
_BLOCK_ROWS = 1024


class ShuffledBuffers:
    """Every row of some sites of a store once an epoch, by numbered buffers.

    Blocks of 1024 neighbouring rows are drawn in random order into a buffer, and the rows of the
    buffer are shuffled: reading stays sequential, and a buffer mixes as many places of the corpus
    as it holds blocks. All sites come in one order, which depends on `seed`, `buffer_bytes` and the
    width of the sites alone; any buffer can be read without those before it.
    """

    def __init__(
        self, store: ActivationStore, sites: Sequence[str], *, seed: int, buffer_bytes: int
    ) -> None:
        if store.n_rows == 0:
            raise BadInput(f"{store.path} holds no row: capture some tokens first")
        self.widths = {
            site: int(np.prod(store.shape(site), dtype=np.int64)) for site in dict.fromkeys(sites)
        }
        row_bytes = max(sum(self.widths.values()), 1) * 4
        self._blocks_per_buffer = max(buffer_bytes // (row_bytes * _BLOCK_ROWS), 1)
        self._store = store
        self._seed = seed

    def __len__(self) -> int:
        """Buffers of one epoch."""
        return -(-self._n_blocks // self._blocks_per_buffer)

    def read(
        self, epoch: int, number: int, *, sites: Sequence[str] | None = None
    ) -> dict[str, Float[np.ndarray, "rows _d"]]:
        """Float32 rows by site, trailing axes flattened; BadInput if one is not finite.

        With `sites` only some of them are read, in the order that all have.
        """
        order = np.random.default_rng([self._seed, epoch]).permutation(self._n_blocks)
        first = number * self._blocks_per_buffer
        starts = order[first : first + self._blocks_per_buffer] * _BLOCK_ROWS
        stops = np.minimum(starts + _BLOCK_ROWS, self._store.n_rows)
        n_rows = int((stops - starts).sum())
        # Not [seed, epoch, 0]: NumPy pads its seeds with zeros, and that would be the one above.
        places = np.random.default_rng([self._seed, epoch, number + 1]).permutation(n_rows)
        wanted = self.widths if sites is None else sites
        buffer = {site: np.empty((n_rows, self.widths[site]), np.float32) for site in wanted}
        done = 0
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            target = places[done : done + stop - start]
            for site, rows in buffer.items():
                rows[target] = finite_rows(self._store, site, start, stop)
            done += stop - start
        return buffer

    @property
    def _n_blocks(self) -> int:
        return -(-self._store.n_rows // _BLOCK_ROWS)


def shuffled_batches(
    store: ActivationStore,
    site: str,
    *,
    batch_size: int,
    seed: int,
    epochs: int | None = None,
    buffer_bytes: int = BUFFER_BYTES,
) -> Iterator[Float[Tensor, "batch d"]]:
    """Float32 batches in which every row comes exactly once an epoch; endless without `epochs`.

    The order is that of `ShuffledBuffers`. Trailing axes are flattened into one. A batch may span
    two epochs; only the very last one may be short. Raises BadInput on NaN or infinity.
    """
    if batch_size < 1 or store.n_rows == 0:
        raise BadInput(f"no batches of {batch_size} from {store.n_rows} rows of {store.path}")
    buffers = ShuffledBuffers(store, [site], seed=seed, buffer_bytes=buffer_bytes)
    numbers = count() if epochs is None else range(epochs)
    rows = (buffers.read(epoch, i)[site] for epoch in numbers for i in range(len(buffers)))
    return _cut(rows, batch_size)


def _cut(
    buffers: Iterator[Float[np.ndarray, "rows d"]], batch_size: int
) -> Iterator[Float[Tensor, "batch d"]]:
    rest: np.ndarray | None = None
    for buffer in buffers:
        rows = buffer if rest is None else np.concatenate([rest, buffer])
        whole = len(rows) - len(rows) % batch_size
        for start in range(0, whole, batch_size):
            yield torch.from_numpy(rows[start : start + batch_size].copy())
        rest = rows[whole:]
    if rest is not None and len(rest):
        yield torch.from_numpy(rest.copy())
