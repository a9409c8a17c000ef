"""SHA-256 of files, bytes and JSON values."""

import hashlib
import json
from pathlib import Path
from typing import Any

_CHUNK = 1 << 22


def sha256_file(path: Path) -> str:
    """Hex digest of the file's bytes, read in 4 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def sha256_bytes(content: bytes | memoryview) -> str:
    """Hex digest of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_json(content: Any) -> str:
    """Hex digest of the canonical JSON text (sorted keys, no spaces); NaN is refused."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_bytes(text.encode())
