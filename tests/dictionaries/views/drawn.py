"""Random firings as a dense array and as the batches that accumulators take."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from interp.dictionaries.views.firings import Firings


class Drawn(NamedTuple):
    """A dense [rows, d_sae] array of activations and the columns beside it."""

    acts: np.ndarray
    token: np.ndarray
    document: np.ndarray
    sequence: np.ndarray
    label: np.ndarray
    neurons: np.ndarray


def drawn(
    seed: int, *, n: int = 300, d_sae: int = 12, share: float = 0.15, of_documents: bool = True
) -> Drawn:
    rng = np.random.default_rng(seed)
    acts = rng.lognormal(0, 1, (n, d_sae)) * (rng.random((n, d_sae)) < share)
    # Equal activations are there, so that ties have to be broken.
    acts[:, 0] = np.round(acts[:, 0])
    acts[:, -1] = 0
    document = np.cumsum(rng.random(n) < 0.1)
    label = rng.integers(0, 3, document.max() + 1)[document]
    return Drawn(
        acts.astype(np.float32),
        rng.integers(0, 9, n),
        document,
        np.arange(n) // 16,
        label if of_documents else rng.integers(0, 3, n),
        (rng.standard_normal((n, 10)) + 30).astype(np.float32),
    )


def batch_of(data: Drawn, start: int, stop: int, *, around: int = 3) -> Firings:
    low, high = max(start - around, 0), min(stop + around, len(data.acts))
    feature, row = np.nonzero(data.acts[low:high].T)
    return Firings(
        d_sae=data.acts.shape[1],
        first_row=low,
        start=start - low,
        stop=stop - low,
        feature=feature.astype(np.int32),
        row=row.astype(np.int32),
        value=data.acts[low:high].T[feature, row],
        token=data.token[low:high],
        document=data.document[low:high],
        sequence=data.sequence[low:high],
        labels={"label": data.label[low:high]},
    )


def pieces(data: Drawn, cuts: list[int]) -> Iterator[tuple[int, int]]:
    ends = [0, *sorted(cuts), len(data.acts)]
    for start, stop in zip(ends[:-1], ends[1:], strict=True):
        if stop > start:
            yield start, stop
