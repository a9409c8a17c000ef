"""UndoRecord: what turns a model that was written back into the base it was made from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped, UInt8

from interp.abilities.masks.arrays import map_arrays
from interp.abilities.masks.support import Support, checked_support
from interp.models.weight_files import BYTES_OF
from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import DATA, HEADER, read_header
from interp.results.provenance import Provenance

SCHEMA = "interp.undo/1"
FOLDER = "undo"
"""Directory within the model: no loader of models looks below its top."""
UndoKind = Literal["full", "base"]


@dataclass(frozen=True, kw_only=True)
class UndoTensor:
    """One tensor that may differ from the base."""

    dtype: str
    shape: tuple[int, ...]
    count: int
    """Entries that do."""


@dataclass(frozen=True, kw_only=True)
class UndoRecord:
    """Which model was made of which base, and which entries of it differ.

    full: `data.safetensors` beside it holds a bitmap of the changed entries of every tensor
    (`changed.NAME`, least significant bit first) and the base's own bits there (`words.NAME`).
    base: nothing is kept, because more than half was changed; the base itself is the undo.
    """

    kind: UndoKind
    base: str
    """Root hash of the base."""
    base_name: str
    """Where the base was: name, path or hub id, as it was given."""
    result: str
    """Root hash of the model that was made."""
    n: int
    """Entries in all."""
    changed: int
    """Entries that differ from the base."""
    lineage: dict[str, Any] | None
    """The base's own `interp.json`; None if it had none."""
    tensors: dict[str, UndoTensor]
    """In the order of the base's files; empty for "base"."""
    provenance: Provenance

    def save(self, directory: Path) -> None:
        """Write the header into the undo folder of a model directory."""
        content = {**asdict(self), "provenance": self.provenance.to_json()}
        (directory / FOLDER).mkdir(exist_ok=True)
        write_json(directory / FOLDER / HEADER, {"schema": SCHEMA, **content})

    @classmethod
    def load(cls, directory: Path) -> "UndoRecord":
        """The record in a model directory. BadInput without one, CorruptFile if it is not sound."""
        folder = directory / FOLDER
        if not folder.is_dir():
            raise BadInput(
                f"{directory} holds no {FOLDER}/: only what `interp ability transfer` wrote can "
                "be undone"
            )
        header = read_header(folder, schema=SCHEMA)
        try:
            fields = {name: header[name] for name in cls.__dataclass_fields__}
            tensors = {
                name: UndoTensor(
                    dtype=one["dtype"], shape=tuple(map(int, one["shape"])), count=int(one["count"])
                )
                for name, one in header["tensors"].items()
            }
            if header["kind"] not in ("full", "base") or not {
                one.dtype for one in tensors.values()
            } <= set(BYTES_OF):
                raise ValueError(f"kind {header['kind']!r}")
            provenance = Provenance.from_json(header["provenance"])
            return cls(**{**fields, "tensors": tensors, "provenance": provenance})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorruptFile(f"{folder / HEADER} lacks or garbles {error}") from error


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The changed entries of one tensor, and what stood there."""

    support: Support
    words: Shaped[np.ndarray, " count"]
    """Raw unsigned words, in flat order."""


def read_changes(directory: Path, record: UndoRecord) -> dict[str, Changes]:
    """Every tensor's changes, mapped from the file. CorruptFile where they do not fit the record.

    The bytes carry no checksum of their own: what they restore is compared with the base's root.
    """
    arrays = map_arrays(directory / FOLDER, {}, verify=False)
    return {name: _changes(name, one, arrays) for name, one in record.tensors.items()}


def bitmap_bytes(n_entries: int) -> int:
    """Bytes of a bit for every entry."""
    return -(-n_entries // 8)


def read_json_beside(directory: Path, file: str) -> dict[str, Any] | None:
    """The JSON object of a small file of a model directory; None if it is not there."""
    path = directory / file
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _changes(name: str, entry: UndoTensor, arrays: dict[str, np.ndarray]) -> Changes:
    bits: UInt8[np.ndarray, " bytes"] | None = arrays.get(f"changed.{name}")
    words = arrays.get(f"words.{name}")
    if bits is None or words is None:
        raise CorruptFile(f"{FOLDER}/{DATA} lacks tensor {name!r}: restore it from the base")
    support = checked_support(
        name=name, shape=entry.shape, encoding="bitmap", data=bits, count=entry.count
    )
    if words.dtype != np.dtype(f"u{BYTES_OF[entry.dtype]}") or words.shape != (entry.count,):
        raise CorruptFile(
            f"tensor {name!r} has {words.shape} original words in {FOLDER}/{DATA} for "
            f"{entry.count} changed entries: restore it from the base"
        )
    return Changes(support=support, words=words)
