"""Batches of firings from a store: rows are read once, in order, and encoded."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from interp.capture.finite import finite_rows
from interp.capture.store import ActivationStore
from interp.dictionaries.views.encoding import Encoder
from interp.dictionaries.views.firings import Firings
from interp.dictionaries.views.neurons import N_NULL, NullBank

_STRETCHES, _STRETCH = 16, 256


class ViewedBatch(NamedTuple):
    """What one batch hands to the accumulators."""

    firings: Firings
    neurons: Float[np.ndarray, "rows n_neurons"] | None


def viewed_batches(
    store: ActivationStore,
    encoder: Encoder,
    *,
    d_sae: int,
    site: str,
    neurons: str | None,
    labels: Sequence[str],
    rows: tuple[int, int],
    batch_size: int,
    width: int,
    device: torch.device,
) -> Iterator[ViewedBatch]:
    """The rows [rows) of a store, each counted once, with `width` rows around every batch.

    The rows around are encoded twice, so that a context does not end where a batch does. BadInput
    names the site and the row of a NaN or an infinity.
    """
    for start in range(*rows, batch_size):
        stop = min(start + batch_size, rows[1])
        low, high = max(start - width, 0), min(stop + width, store.n_rows)
        flat = finite_rows(store, site, low, high)
        found = encoder.active(torch.from_numpy(flat).to(device))
        beside = None if neurons is None else finite_rows(store, neurons, start, stop)
        yield ViewedBatch(
            Firings(
                d_sae=d_sae,
                first_row=low,
                start=start - low,
                stop=stop - low,
                feature=found.feature,
                row=found.row,
                value=found.value,
                token=store.column("token", low, high),
                document=store.column("document", low, high),
                sequence=store.column("sequence", low, high),
                labels={name: store.column(name, low, high) for name in labels},
            ),
            beside,
        )


def null_bank(store: ActivationStore, site: str, *, seed: int) -> NullBank:
    """Up to 16 stretches of 256 rows, evenly spaced, of 32 neurons drawn at random."""
    starts = np.linspace(0, max(store.n_rows - _STRETCH, 0), _STRETCHES).astype(np.int64)
    values = np.concatenate(
        [
            finite_rows(store, site, int(start), min(int(start) + _STRETCH, store.n_rows))
            for start in np.unique(starts)
        ]
    )
    n = values.shape[1]
    columns = np.sort(np.random.default_rng(seed).permutation(n)[:N_NULL])
    return NullBank(
        np.ascontiguousarray(values[:, columns]), values.mean(axis=0, dtype=np.float32), columns
    )
