"""Undo: the model that a transfer was made from, bit for bit.

Subtracting what was added does not give it back: the sum's rounding has destroyed low bits. So a
transfer keeps the bits that it overwrote, or, where it changed most of them, names its base.
"""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from interp.abilities.moving.lineage import FILE
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import CHUNK, THREADS, Chunk, in_order
from interp.abilities.streaming.writer import SYNC_EVERY, Piece, StagedDirectory
from interp.abilities.undoing.undo_record import FOLDER, Changes, UndoRecord, read_changes
from interp.models.hub import directory_of
from interp.models.identity import model_identity, root_of, tensor_prefix
from interp.models.weight_files import BYTES_OF
from interp.results.atomic import check_out, write_json
from interp.results.errors import CorruptFile, InterpError, Mismatch
from interp.results.finding import DATA
from interp.results.hashing import sha256_json
from interp.results.progress import progress

Words = Shaped[np.ndarray, " entries"]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A base that was restored."""

    path: Path
    root: str
    """Root hash of its weights: the one that the transfer recorded."""
    source: Literal["undo", "base"]
    """Whether its bits came from the undo data or from a copy of the base."""
    n: int
    """Entries in all."""
    changed: int
    """Entries that the transfer had changed."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "path": str(self.path)}


def undo(
    model: str | Path,
    out: str | Path,
    *,
    base: str | Path | None = None,
    overwrite: bool = False,
    hash_cache: Path | None = None,
    chunk: int = CHUNK,
    threads: int = THREADS,
    sync_every: int = SYNC_EVERY,
) -> Restored:
    """The base that `model` was made from, written to `out` with the same bits.

    Taken from the bits that the transfer kept; where it kept none, or where `base` is given, the
    base is copied. Streamed, resumable, and published only once the root hash of what was written
    is the recorded one. Raises BadInput if no transfer wrote `model`, Mismatch if its weights have
    changed since or the base is not at hand, CorruptFile if the undo data are not sound.
    """
    out = Path(out)
    check_out(out, replace=overwrite)
    directory = directory_of(model)
    record = UndoRecord.load(directory)
    found = model_identity(directory, cache=hash_cache).root
    if found != record.result:
        raise Mismatch(
            f"the weights of {directory} are {found[:12]} and its undo is for "
            f"{record.result[:12]}: they were changed since, so restore them from the base "
            f"{record.base[:12]} ({record.base_name}) instead"
        )
    copied = base is not None or record.kind == "base"
    source = _base_at_hand(record, base, cache=hash_cache) if copied else directory
    with ExitStack() as files:
        checkpoint = files.enter_context(Checkpoint(source))
        changes = {} if copied else read_changes(directory, record)
        words = checkpoint.words if copied else _restoring(checkpoint, changes, chunk=chunk)
        staged = StagedDirectory(
            out,
            job=sha256_json({"undo": record.result, "copied": copied, "chunk": chunk}),
            sizes=ModelFiles(checkpoint, dtype=None).sizes,
            replace=overwrite,
            sync_every=sync_every,
        )
        with staged:
            root = _write(staged, checkpoint, words, chunk=chunk, threads=threads)
            if root != record.base:
                staged.discard()
                raise CorruptFile(
                    f"{directory / FOLDER / DATA} restores {root[:12]} and the base was "
                    f"{record.base[:12]}: it was altered; give the base itself with --base"
                )
            ModelFiles(checkpoint, dtype=None).write_companions(staged.path)
            if record.lineage is not None:
                write_json(staged.path / FILE, record.lineage)
            staged.publish()
    return Restored(
        path=out,
        root=root,
        source="base" if copied else "undo",
        n=record.n,
        changed=record.changed,
    )


def _base_at_hand(record: UndoRecord, base: str | Path | None, *, cache: Path | None) -> Path:
    """The directory of the base, after its root was found to be the recorded one."""
    name = str(record.base_name if base is None else base)
    wanted = f"the base {record.base[:12]}"
    if base is None and record.changed:
        why = f"{record.changed:,} of {record.n:,} entries changed, so only the base was recorded"
    else:
        why = "the undo is a copy of the base"
    try:
        directory = directory_of(name)
        root = model_identity(directory, cache=cache).root
    except InterpError as error:
        if base is not None:
            raise
        raise Mismatch(
            f"{why}; {wanted} was {name!r}, which is not at hand: give it with --base"
        ) from error
    if root != record.base:
        raise Mismatch(f"{why}; {name} is {root[:12]} and {wanted} is needed: give it with --base")
    return directory


def _restoring(
    model: Checkpoint, changes: dict[str, Changes], *, chunk: int
) -> Callable[[Chunk], Words]:
    """The base's words of any chunk of the grid."""
    for name, change in changes.items():
        if name not in model.spans or model.span(name).shape != change.support.shape:
            raise CorruptFile(f"{FOLDER}/{DATA} is of {name!r}, no such tensor of the model")
        if BYTES_OF[model.span(name).dtype] != change.words.itemsize:
            raise CorruptFile(f"tensor {name!r} of {FOLDER}/{DATA} is in another number format")
    ends = {name: np.cumsum(one.support.counts(chunk)) for name, one in changes.items()}

    def restored(piece: Chunk) -> Words:
        words = model.words(piece)
        if piece.name not in changes:
            return words
        change, number = changes[piece.name], piece.start // chunk
        first, last = (int(ends[piece.name][number - 1]) if number else 0), ends[piece.name][number]
        raw = words.view(change.words.dtype)
        raw[change.support.positions(piece.start, piece.stop)] = change.words[first:last]
        return words

    return restored


def _write(
    staged: StagedDirectory,
    like: Checkpoint,
    words: Callable[[Chunk], Words],
    *,
    chunk: int,
    threads: int,
) -> str:
    """Write every shard; the root hash of what was written."""
    files = ModelFiles(like, dtype=None)
    files.write_heads(staged)
    digests = {
        name: hashlib.sha256(tensor_prefix(name, span.dtype, span.shape))
        for name, span in like.spans.items()
    }

    def write(piece: Chunk) -> tuple[str, bytes | memoryview]:
        file, start = files.starts[piece.name]
        width = BYTES_OF[like.span(piece.name).dtype]
        offset = start + piece.start * width
        held = staged.held(Piece(file, offset, (piece.stop - piece.start) * width))
        if held is not None:
            return piece.name, held
        content = words(piece).data.cast("B")
        staged.write(file, offset, content)
        return piece.name, content

    total = sum(span.n_entries for span in like.spans.values())
    with progress("restoring", total=total, unit="entries") as advance:
        for name, content in in_order(write, like.chunks(chunk=chunk), threads=threads):
            digests[name].update(content)
            advance(len(content) // BYTES_OF[like.span(name).dtype])
    return root_of({name: digest.hexdigest() for name, digest in digests.items()})
