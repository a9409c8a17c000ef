"""What a store promises before its first row: sites, format, columns and what made it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interp.capture.precision import ON_DISK, StoredDtype
from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.hashing import sha256_json
from interp.results.provenance import Provenance

SCHEMA = "interp.store/1"
HEADER = "store.json"
_MAX_HEADER_BYTES = 16 << 20

COLUMNS = {
    "token": "int32",
    "document": "int64",
    "sequence": "int64",
    "position": "int32",
    "is_bos": "uint8",
    "is_special": "uint8",
}
"""The columns that every store has beside its sites; label columns come after them."""


@dataclass(frozen=True, kw_only=True)
class StoreHeader:
    """The identity of a store; two runs with equal identities write equal bytes."""

    sites: dict[str, tuple[int, ...]]
    """Trailing shape of one row, by site name."""
    dtype: StoredDtype
    columns: dict[str, str]
    """NumPy dtype by column name: `COLUMNS`, then the corpus's labels."""
    asked: int
    """Tokens asked for; padding is no token."""
    batch_size: int
    sequences_per_forward: int
    """How many sequences one forward pass takes; it decides how the last bits round."""
    sequences_per_shard: int
    """A multiple of batch_size, so that shards begin where batches begin."""
    length: int
    """Positions of one sequence as fed."""
    drop_special: bool
    absent_layers: dict[str, tuple[int, ...]]
    """Pattern -> layers of its stack where nothing matches."""
    vocabulary_sha256: str | None
    fidelity: dict[str, Any]
    """Largest difference from plain transformers, and against what it was taken."""
    provenance: Provenance
    label_values: dict[str, list[str]] = field(default_factory=dict)
    """What the integers of a label column stand for, by its name; none where a label is a number
    in the corpus."""

    @property
    def identity(self) -> str:
        """Hash of everything that decides the rows; each shard carries it."""
        return sha256_json(_identity(self.to_json()))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row on disk, all sites and columns, before the file's own overhead."""
        width = sum(int(np.prod(shape, dtype=np.int64)) for shape in self.sites.values())
        columns = sum(np.dtype(dtype).itemsize for dtype in self.columns.values())
        return width * ON_DISK[self.dtype].itemsize + columns

    @property
    def fidelity_text(self) -> str:
        """The fidelity check in one clause."""
        return (
            f"largest difference from plain transformers with {self.fidelity['against']} attention "
            f"{self.fidelity['max_abs_difference']:.2g} (largest logit "
            f"{self.fidelity['largest_logit']:.3g})"
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; without label values, the one of stores from before there were any."""
        named = {"label_values": self.label_values} if self.label_values else {}
        return {
            "schema": SCHEMA,
            "sites": {name: list(shape) for name, shape in self.sites.items()},
            "dtype": self.dtype,
            "columns": self.columns,
            "asked": self.asked,
            "batch_size": self.batch_size,
            "sequences_per_forward": self.sequences_per_forward,
            "sequences_per_shard": self.sequences_per_shard,
            "length": self.length,
            "drop_special": self.drop_special,
            "absent_layers": {name: list(layers) for name, layers in self.absent_layers.items()},
            "vocabulary_sha256": self.vocabulary_sha256,
            "fidelity": self.fidelity,
            "provenance": self.provenance.to_json(),
            **named,
        }

    def write(self, directory: Path) -> None:
        """Write `store.json`, with the checksum of its own content."""
        content = self.to_json()
        write_json(directory / HEADER, {**content, "check": sha256_json(content)})


def read_store_header(directory: Path) -> StoreHeader:
    """The header in `directory`, checked; BadInput if it is no store, CorruptFile if altered."""
    file = directory / HEADER
    if not file.is_file():
        raise BadInput(f"{directory} is no activation store: it holds no {HEADER}")
    if file.stat().st_size > _MAX_HEADER_BYTES:
        raise CorruptFile(f"{file} is {file.stat().st_size} bytes: no header of ours is that long")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{file} is not JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise BadInput(f"{file} is {found!r}, expected {SCHEMA!r}: capture again or upgrade interp")
    check = content.pop("check", None)
    if check != sha256_json(content):
        raise CorruptFile(f"{file} was altered: its checksum does not fit; capture again")
    return _parse(content)


def _parse(content: dict[str, Any]) -> StoreHeader:
    content = {"label_values": {}, **content}
    known = {name: content[name] for name in StoreHeader.__dataclass_fields__}
    return StoreHeader(
        **{
            **known,
            "sites": {name: tuple(shape) for name, shape in content["sites"].items()},
            "absent_layers": {k: tuple(v) for k, v in content["absent_layers"].items()},
            "provenance": Provenance.from_json(content["provenance"]),
        }
    )


def refuse_difference(found: StoreHeader, asked: StoreHeader, directory: Path) -> None:
    """Raise Mismatch naming everything in which a store differs from the run that would go on."""
    old, new = _flat(_identity(found.to_json())), _flat(_identity(asked.to_json()))
    differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if differing:
        shown = "; ".join(
            f"{name} is {old.get(name, 'absent')!r} there and {new.get(name, 'absent')!r} here"
            for name in differing[:6]
        )
        more = f" and {len(differing) - 6} more" if len(differing) > 6 else ""
        raise Mismatch(
            f"{directory} was made by another run: {shown}{more}. "
            "Give the same arguments to go on, another --out, or --overwrite to start again"
        )


def _identity(content: dict[str, Any]) -> dict[str, Any]:
    """Without what does not decide the rows: how the run was called, and its fidelity check."""
    provenance = {k: v for k, v in content["provenance"].items() if k != "command"}
    rest = {k: v for k, v in content.items() if k != "fidelity"}
    return {**rest, "provenance": provenance}


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        inner = f"{prefix}{name}".removeprefix("provenance.")
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{inner}.")
        else:
            flat[inner] = value
    return flat
