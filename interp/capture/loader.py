"""Shuffled torch batches of a store, for training."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

_BLOCK_ROWS = 1024


def shuffled_batches(
    store: ActivationStore,
    site: str,
    *,
    batch_size: int,
    seed: int,
    epochs: int | None = None,
    buffer_bytes: int = 256 << 20,
) -> Iterator[Float[Tensor, "batch d"]]:
    """Float32 batches in which every row comes exactly once an epoch; endless without `epochs`.

    Blocks of 1024 neighbouring rows are drawn in random order into a buffer, and the rows of the
    buffer are shuffled: reading stays sequential, and a batch mixes as many places of the corpus as
    the buffer holds blocks. Trailing axes are flattened into one. A batch may span two epochs; only
    the very last one may be short. The order depends on `seed` and `buffer_bytes` alone.
    """
    if batch_size < 1 or store.n_rows == 0:
        raise BadInput(f"no batches of {batch_size} from {store.n_rows} rows of {store.path}")
    d = int(np.prod(store.shape(site), dtype=np.int64))
    buffer_blocks = max(buffer_bytes // (max(d, 1) * 4 * _BLOCK_ROWS), 1)
    return _cut(_buffers(store, site, seed, epochs, buffer_blocks), batch_size)


def _buffers(
    store: ActivationStore, site: str, seed: int, epochs: int | None, buffer_blocks: int
) -> Iterator[Float[np.ndarray, "rows d"]]:
    for epoch in count() if epochs is None else range(epochs):
        rng = np.random.default_rng([seed, epoch])
        starts = rng.permutation(np.arange(0, store.n_rows, _BLOCK_ROWS))
        for first in range(0, len(starts), buffer_blocks):
            blocks = [
                store.rows(site, int(start), min(int(start) + _BLOCK_ROWS, store.n_rows))
                for start in starts[first : first + buffer_blocks]
            ]
            rows = np.concatenate(blocks).astype(np.float32, copy=False)
            yield rng.permutation(rows.reshape(len(rows), -1))


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
