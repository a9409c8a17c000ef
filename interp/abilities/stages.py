"""Stages: the parts of a long job, each made once and made again when what it came from changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile
from interp.results.hashing import sha256_json

_STAGES = "stages.json"
_SCHEMA = "interp.stages/1"


class Stages:
    """Directories that are made once: each remembers the digest of all that it depends on."""

    def __init__(self, root: Path) -> None:
        """Raises BadInput if `root` holds something else, CorruptFile if its record is damaged."""
        self.root = root
        self._file = root / _STAGES
        if root.exists() and not self._file.is_file() and any(root.iterdir()):
            raise BadInput(f"{root} exists and is not of this command: choose another --out")
        self._digests: dict[str, str] = {}
        if self._file.is_file():
            self._digests = _read(self._file)

    def made(self, name: str, inputs: Any, make: Callable[[Path], object]) -> Path:
        """The stage's directory, made by `make` unless it was made from the same inputs."""
        digest, path = sha256_json(inputs), self.root / name
        if self._digests.get(name) != digest or not path.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            self._digests.pop(name, None)
            self._save()
            make(path)
            self._digests[name] = digest
            self._save()
        return path

    def digest(self, name: str) -> str:
        """What a stage was made from, all that came before it included."""
        return self._digests[name]

    def _save(self) -> None:
        write_json(self._file, {"schema": _SCHEMA, "stages": self._digests})


def _read(file: Path) -> dict[str, str]:
    """Digests by stage."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFile(
            f"{file} is no JSON ({error}): remove it, and all parts are made again"
        ) from error
    known = isinstance(content, dict) and content.get("schema") == _SCHEMA
    digests = content.get("stages") if known else None
    if not isinstance(digests, dict) or not all(isinstance(one, str) for one in digests.values()):
        raise CorruptFile(
            f"{file} does not hold the stages of {_SCHEMA}: choose another --out, or the version "
            "of interp that wrote it"
        )
    return digests
