"""One pass over the corpus that records whole shards, from the first missing one on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from interp.capture.budget import keep_budget, release_free_memory
from interp.capture.distributed import Ranks
from interp.capture.forward import SiteReader
from interp.capture.header import StoreHeader
from interp.capture.interruption import Interrupted, interruptible
from interp.capture.manifest import Manifest
from interp.capture.writer import StoreWriter
from interp.corpus.corpus import Corpus, TokenBatch
from interp.results.errors import BadInput
from interp.results.progress import progress


@dataclass
class Position:
    """Where the reading of the corpus stands, whoever records what."""

    tokens: int
    sequences: int


@dataclass
class _OpenShard:
    """The shard of this rank that the writer is filling."""

    index: int
    first_sequence: int
    masked: int = 0
    padding: int = 0


class _Run:
    """One pass over the corpus from the first missing shard, recording the shards of this rank."""

    def __init__(
        self, header: StoreHeader, reader: SiteReader, writer: StoreWriter, position: Position
    ) -> None:
        self.position = position
        self._header = header
        self._reader = reader
        self._writer = writer
        self._open: _OpenShard | None = None

    @property
    def shard(self) -> int:
        """The shard that the next sequence belongs to."""
        return self.position.sequences // self._header.sequences_per_shard

    def record(self, batch: TokenBatch, *, mine: bool) -> int:
        """Take one batch, or only count it; returns how many tokens it answered for."""
        real = _first_tokens(batch.attention_mask, self._header.asked - self.position.tokens)
        fed = int(np.flatnonzero(real.any(axis=1)).max(initial=-1)) + 1
        if mine and fed:
            self._compute(batch, real, fed)
        self.position.tokens += int(real.sum())
        self.position.sequences += fed
        if self.position.sequences % self._header.sequences_per_shard == 0:
            self.commit()
        return int(real.sum())

    def commit(self) -> None:
        """Hand over the shard in flight as it is, if there is one."""
        if self._open is not None:
            self._writer.commit(
                sequences=(self._open.first_sequence, self.position.sequences),
                masked=self._open.masked,
                padding=self._open.padding,
            )
            self._open = None

    def _compute(self, batch: TokenBatch, real: Bool[np.ndarray, "batch pos"], fed: int) -> None:
        if self._open is None:
            self._open = _OpenShard(self.shard, self.position.sequences)
            left = self._header.asked - self.position.tokens
            most = self._header.sequences_per_shard * self._header.length
            self._writer.begin(self.shard, max_rows=min(left, most))
        mask = batch.attention_mask[:fed]
        keep = real[:fed] & ~batch.special[:fed] if self._header.drop_special else real[:fed]
        columns = _columns(batch, keep, self._header.columns)
        done = 0
        for start in range(0, fed, self._header.sequences_per_forward):
            part = slice(start, min(start + self._header.sequences_per_forward, fed))
            rows = self._reader.read(batch.tokens[part], mask[part], keep[part])
            n = int(keep[part].sum())
            taken = {name: column[done : done + n] for name, column in columns.items()}
            self._writer.append(rows, taken)
            done += n
        self._open.masked += int(real[:fed].sum() - keep.sum())
        self._open.padding += int((~mask).sum())


def _first_tokens(
    attention_mask: Bool[np.ndarray, "batch pos"], n: int
) -> Bool[np.ndarray, "batch pos"]:
    """The first `n` tokens of a batch in reading order."""
    count = np.cumsum(attention_mask.ravel()).reshape(attention_mask.shape)
    return attention_mask & (count <= n)


def _columns(
    batch: TokenBatch, keep: Bool[np.ndarray, "batch pos"], dtypes: dict[str, str]
) -> dict[str, np.ndarray]:
    fed = len(keep)
    sequence = np.broadcast_to(batch.sequence[:fed, None], keep.shape)
    columns = {
        "token": batch.tokens[:fed],
        "document": batch.document[:fed],
        "sequence": sequence,
        "position": batch.position[:fed],
        "is_bos": batch.bos[:fed],
        "is_special": batch.special[:fed],
        **{name: label[:fed] for name, label in batch.labels.items()},
    }
    for name in batch.labels:
        _refuse_rounded(name, columns[name][keep], dtypes[name], sequence[keep])
    return {name: columns[name][keep].astype(dtype) for name, dtype in dtypes.items()}


def _refuse_rounded(
    name: str,
    label: Shaped[np.ndarray, " rows"],
    dtype: str,
    sequence: Int[np.ndarray, " rows"],
) -> None:
    """BadInput if the column, whose format the first sequences decided, would change a value."""
    # There and back: compared directly, an int64 becomes a float64 first and hides what it lost.
    with np.errstate(invalid="ignore"):
        back = label.astype(dtype).astype(label.dtype)
    changed = (back != label) & ~(np.isnan(back) & np.isnan(label))
    if changed.any():
        row = int(changed.argmax())
        raise BadInput(
            f"label {name!r} is {label[row]} in sequence {sequence[row]}, and its column is "
            f"{dtype}, as its first values are: write all its values alike in the corpus (1.0, not "
            "1, where some are fractions) and capture with --overwrite"
        )


def record_missing(
    header: StoreHeader,
    manifest: Manifest,
    *,
    reader: SiteReader,
    corpus: Corpus,
    writer: StoreWriter,
    ranks: Ranks,
    budget: int | None,
) -> Position:
    """Record every missing shard of this rank; returns where the corpus, or the asking, ended."""
    done = {entry.index: entry for entry in manifest.shards}
    first = next(i for i in range(len(done) + 1) if i not in done)
    position = Position(
        tokens=sum(done[i].tokens for i in range(first)),
        sequences=done[first - 1].sequences[1] if first else 0,
    )
    run = _Run(header, reader, writer, position)
    with (
        interruptible() as interrupted,
        progress("capturing", total=header.asked, unit="tokens") as advance,
    ):
        advance(position.tokens)
        for batch in corpus.batches(header.batch_size, start=position.sequences):
            if position.tokens >= header.asked:
                break
            if interrupted() and position.sequences % header.sequences_per_shard == 0:
                raise Interrupted("stopped")
            mine = run.shard not in done and ranks.records(run.shard)
            advance(run.record(batch, mine=mine), shard=run.shard)
            release_free_memory()
            keep_budget(budget)
        run.commit()
    return position
