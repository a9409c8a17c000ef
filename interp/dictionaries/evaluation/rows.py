"""Which rows of a store are evaluated and which the baselines are fitted on, and their batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from interp.capture.finite import finite_rows
from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

_BLOCK_ROWS = 1024
_FIT_SHARE = 0.2
"""Of a small store's rows, at least, that baselines are fitted on and nothing is measured on."""
_READ_BYTES = 1 << 26

Span = tuple[int, int]
"""Rows [start, stop) of the store."""


class Split(NamedTuple):
    """Spans of whole sequences, in the order of the store; no sequence is in both."""

    evaluated: list[Span]
    fitted: list[Span]


class RowBatch(NamedTuple):
    """Some rows of the site that is read and of the site that is reconstructed."""

    source: Float[Tensor, "rows d_in"]
    target: Float[Tensor, "rows d_out"]
    sequence: Int64[np.ndarray, " rows"]


@dataclass(frozen=True, kw_only=True)
class RowReader:
    """Reads text rows of one store: special tokens are left out unless `specials`."""

    store: ActivationStore
    site: str
    site_out: str
    specials: bool
    device: torch.device

    def batches(self, spans: list[Span], *, batch_size: int) -> Iterator[RowBatch]:
        """Rows of `spans`, at most `batch_size` at once.

        Raises BadInput naming site and row for a value that is NaN or infinite.
        """
        width = sum(int(np.prod(self.store.shape(site))) for site in {self.site, self.site_out})
        step = max(1, min(batch_size, _READ_BYTES // (4 * width)))
        for start, stop in spans:
            for first in range(start, stop, step):
                batch = self._batch(first, min(first + step, stop))
                if len(batch.sequence):
                    yield batch

    def _batch(self, start: int, stop: int) -> RowBatch:
        keep = np.ones(stop - start, bool)
        if not self.specials:
            keep = ~self.store.column("is_special", start, stop)
        source = self._rows(self.site, start, stop, keep)
        same = self.site_out == self.site
        target = source if same else self._rows(self.site_out, start, stop, keep)
        sequence = self.store.column("sequence", start, stop)[keep].astype(np.int64)
        return RowBatch(source, target, sequence)

    def _rows(self, site: str, start: int, stop: int, keep: np.ndarray) -> Tensor:
        rows = finite_rows(self.store, site, start, stop, keep=keep)
        return torch.from_numpy(rows).to(self.device)


def split_rows(store: ActivationStore, *, n_tokens: int, rng: np.random.Generator) -> Split:
    """At most `n_tokens` rows to evaluate, and other sequences to fit baselines on.

    Blocks of neighbouring sequences, about 1024 rows each, in an order drawn by `rng`: all of the
    corpus has its chance. At least a fifth of a small store is kept for the fit. BadInput for a
    store of fewer than two sequences.
    """
    if n_tokens < 1:
        raise BadInput(f"n_tokens is {n_tokens}: evaluate on at least one row")
    wanted = n_tokens + max(n_tokens // 4, 4 * _BLOCK_ROWS)
    blocks = _blocks(store, wanted, rng)
    if len(blocks) < 2:
        raise BadInput(
            f"{store.path} holds {len(blocks)} sequences: evaluation needs two, one to measure on "
            "and one to fit the baselines on. Capture more text"
        )
    order = rng.permutation(len(blocks))
    sizes = np.array([blocks[i][1] - blocks[i][0] for i in order])
    most = min(n_tokens, (1 - _FIT_SHARE) * sizes.sum())
    n_evaluated = int(np.searchsorted(np.cumsum(sizes), most, side="left")) + 1
    n_evaluated = max(1, min(n_evaluated, len(blocks) - 1))
    evaluated, fitted = order[:n_evaluated], order[n_evaluated:]
    return Split(
        _shortened(sorted(blocks[i] for i in evaluated), n_tokens),
        sorted(blocks[i] for i in fitted),
    )


def _blocks(store: ActivationStore, wanted: int, rng: np.random.Generator) -> list[Span]:
    """Blocks of whole sequences from as many shards, in random order, as give `wanted` rows."""
    sizes = [shard.rows for shard in store.manifest.shards]
    starts = np.cumsum([0, *sizes])
    size = min(_BLOCK_ROWS, max(store.n_rows // 50, 1))
    found: list[Span] = []
    n_rows = 0
    for shard in rng.permutation(len(sizes)):
        if n_rows >= wanted:
            break
        start, stop = int(starts[shard]), int(starts[shard + 1])
        sequence = store.column("sequence", start, stop)
        begins = np.flatnonzero(np.diff(sequence, prepend=sequence[:1] - 1)) + start
        found += _cut([*begins.tolist(), stop], size)
        n_rows += stop - start
    return found


def _cut(begins: list[int], size: int) -> list[Span]:
    spans: list[Span] = []
    start = begins[0]
    for stop in begins[1:]:
        if stop - start >= size or stop == begins[-1]:
            spans.append((start, stop))
            start = stop
    return [span for span in spans if span[1] > span[0]]


def _shortened(spans: list[Span], n_rows: int) -> list[Span]:
    kept: list[Span] = []
    for start, stop in spans:
        if n_rows > 0:
            kept.append((start, min(stop, start + n_rows)))
        n_rows -= stop - start
    return kept
