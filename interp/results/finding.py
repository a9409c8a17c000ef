"""A finding on disk: `header.json` beside `data.safetensors`, safe to open from a stranger."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput, CorruptFile
from interp.results.hashing import sha256_file

HEADER = "header.json"
DATA = "data.safetensors"
_MAX_HEADER_BYTES = 64 << 20


class Finding(NamedTuple):
    """The two halves of a finding."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def save_finding(
    path: Path,
    *,
    schema: str,
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    overwrite: bool = False,
) -> Path:
    """Write a finding directory, whole or not at all; `schema` is like "interp.mask/1".

    The header gains `schema` and `data_sha256`. Raises BadInput if `path` exists and not
    `overwrite`, ValueError on a NaN in the header (missing values live as NaN in the arrays).
    """
    with atomic_directory(path, replace=overwrite) as directory:
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, directory / DATA)
        write_header(directory, schema=schema, header=header)
    return path


def write_header(directory: Path, *, schema: str, header: dict[str, Any]) -> None:
    """Write `header.json` for the `data.safetensors` that already lies in `directory`."""
    content = {"schema": schema, "data_sha256": sha256_file(directory / DATA), **header}
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    (directory / HEADER).write_text(text + "\n", encoding="utf-8")


def read_header(path: Path, *, schema: str) -> dict[str, Any]:
    """The header alone, checked against `schema` (same name, same major version)."""
    file = path / HEADER
    if not file.is_file():
        raise BadInput(f"{path} holds no {HEADER}: expected a {schema} directory made by interp")
    if file.stat().st_size > _MAX_HEADER_BYTES:
        raise CorruptFile(f"{file} is {file.stat().st_size} bytes: no header of ours is that long")
    try:
        header = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{file} is not JSON ({error})") from error
    found = header.get("schema") if isinstance(header, dict) else None
    if found != schema:
        raise BadInput(f"{path} is {found!r}, expected {schema!r}: pass another finding or upgrade")
    return header


def load_finding(path: Path, *, schema: str, verify: bool = True) -> Finding:
    """Read a finding. `verify` compares the data's SHA-256 with the header's (CorruptFile)."""
    header = read_header(path, schema=schema)
    data = path / DATA
    if not data.is_file():
        raise CorruptFile(f"{data} is missing: {path} is not a whole finding")
    if verify and sha256_file(data) != header.get("data_sha256"):
        raise CorruptFile(f"{data} does not match its header's checksum: make the finding again")
    try:
        arrays = load_file(data)
    except (SafetensorError, ValueError) as error:
        raise CorruptFile(f"{data} is not a safetensors file ({error})") from error
    return Finding(header, arrays)
