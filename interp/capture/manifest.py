"""Which shards a store has committed: one JSON line each, appended and synced."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.capture.precision import NOTHING_ROUNDED, Rounding
from interp.results.atomic import atomic_file
from interp.results.errors import CorruptFile
from interp.results.hashing import sha256_json

MANIFEST = "manifest.jsonl"
_CHECK_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One committed shard."""

    index: int
    sequences: tuple[int, int]
    """First sequence, and the one after the last."""
    rows: int
    tokens: int
    """Tokens of the asked number that this shard answers for: rows + masked."""
    masked: int
    """Special tokens left out."""
    padding: int
    """Positions without a token, never stored and never counted as asked."""
    documents: tuple[int, int]
    """Smallest and largest document id among the rows; (-1, -1) without rows."""
    rounding: dict[str, Rounding]
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """File name inside the store."""
        return shard_name(self.index)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        rounded = {site: value._asdict() for site, value in self.rounding.items()}
        return {"shard": self.name, **asdict(self), "rounding": rounded}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The last line of a finished store: asked = stored + masked + missing."""

    asked: int
    stored: int
    masked: int
    missing: int
    padding: int
    sequences: int
    reason: str
    """Why rows are missing; empty if none is."""


@dataclass(frozen=True)
class Manifest:
    """The committed shards in order, and the ending if the store is finished."""

    shards: tuple[ShardEntry, ...]
    ending: Ending | None

    @property
    def n_rows(self) -> int:
        """Rows of all committed shards."""
        return sum(shard.rows for shard in self.shards)

    def rounding(self) -> dict[str, Rounding]:
        """What the stored format lost, by site, over all shards."""
        total: dict[str, Rounding] = {}
        for shard in self.shards:
            for site, value in shard.rounding.items():
                total[site] = total.get(site, NOTHING_ROUNDED).merge(value)
        return total


def shard_name(index: int) -> str:
    """`shard-00042.h5`."""
    return f"shard-{index:05d}.h5"


def append_entry(directory: Path, entry: ShardEntry) -> None:
    """Add one line, whole or not at all, and sync it."""
    file = directory / MANIFEST
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        line = _line(entry.to_json())
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(f"only a part of a line fitted into {file}")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def write_manifest(
    directory: Path, shards: Sequence[ShardEntry], ending: Ending | None = None
) -> None:
    """Replace the manifest by these lines in order, whatever order they came in."""
    lines = [_line(shard.to_json()) for shard in sorted(shards, key=lambda shard: shard.index)]
    if ending is not None:
        lines.append(_line({"end": asdict(ending)}))
    with atomic_file(directory / MANIFEST) as temporary:
        temporary.write_bytes(b"".join(lines))


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a store; an unfinished last line, left by a kill, does not count."""
    file = directory / MANIFEST
    content = file.read_bytes() if file.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    records = [_parse(line, file, number) for number, line in enumerate(whole.splitlines(), 1)]
    shards = [_entry(record, file) for record in records if "end" not in record]
    endings = [Ending(**record["end"]) for record in records if "end" in record]
    shards.sort(key=lambda shard: shard.index)
    indices = [shard.index for shard in shards]
    if len(set(indices)) != len(indices):
        raise CorruptFile(f"{file} names a shard twice: capture again")
    return Manifest(tuple(shards), endings[-1] if endings else None)


def cut_unfinished_line(directory: Path) -> None:
    """Remove what a kill left after the last whole line, so that the next line starts clean."""
    file = directory / MANIFEST
    if file.is_file():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)


def _line(record: dict[str, Any]) -> bytes:
    check = sha256_json(record)[:_CHECK_LENGTH]
    return json.dumps({**record, "check": check}, allow_nan=False).encode() + b"\n"


def _parse(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        check = record.pop("check")
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptFile(f"{file}, line {number} is not a line of ours ({error})") from error
    if check != sha256_json(record)[:_CHECK_LENGTH]:
        raise CorruptFile(f"{file}, line {number} was altered: its checksum does not fit")
    return record


def _entry(record: dict[str, Any], file: Path) -> ShardEntry:
    fields = {name: record[name] for name in ShardEntry.__dataclass_fields__}
    rounding = {site: Rounding(**value) for site, value in record["rounding"].items()}
    entry = ShardEntry(
        **{
            **fields,
            "sequences": tuple(record["sequences"]),
            "documents": tuple(record["documents"]),
            "rounding": rounding,
        }
    )
    if record["shard"] != entry.name:
        raise CorruptFile(f"{file} names {record['shard']!r} where {entry.name!r} belongs")
    return entry
