"""Study: a directory that collects findings, and an index that says what each one is."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile
from interp.results.provenance import Provenance

SCHEMA = "interp.study/1"
INDEX = "study.json"

Kind = Literal["model", "store", "mask", "ability", "comparison", "report"]
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class StudyEntry:
    """One finding of a study."""

    id: str
    """Lower-case letters, digits, dot, dash, underscore: what pages link to."""
    kind: Kind
    title: str
    path: Path
    """Absolute, inside the study's directory."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A directory of findings: `study.json` beside one directory a finding.

    The index holds names and kinds only; each finding carries its own header and provenance, so a
    study can be copied, zipped and opened elsewhere.
    """

    path: Path
    title: str
    provenance: Provenance
    _entries: tuple[StudyEntry, ...] = ()

    @classmethod
    def create(cls, path: Path, *, title: str, provenance: Provenance) -> "Study":
        """Start an empty study. Raises BadInput if `path` holds anything already."""
        path = path.absolute()
        if path.exists() and any(path.iterdir()):
            raise BadInput(f"{path} is not empty: choose another place for the study")
        path.mkdir(parents=True, exist_ok=True)
        study = cls(path=path, title=title, provenance=provenance)
        study._write()
        return study

    @classmethod
    def open(cls, path: Path) -> "Study":
        """Read a study's index. BadInput where there is none, CorruptFile where it is bad."""
        index = path / INDEX
        if not index.is_file():
            raise BadInput(f"{path} is not a study (no {INDEX}): make one with `interp demo`")
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise BadInput(f"{index} has schema {content['schema']!r}, expected {SCHEMA!r}")
            root = path.resolve()
            return cls(
                path=root,
                title=str(content["title"]),
                provenance=Provenance.from_json(content["provenance"]),
                _entries=tuple(_entry(root, entry) for entry in content["entries"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptFile(f"{index} is not a study's index ({error!r})") from error

    def add(self, id: str, *, kind: Kind, title: str, path: Path) -> "Study":
        """The study with one more finding, whose directory already lies inside the study.

        An entry of the same id is replaced. The index on disk is rewritten atomically.
        """
        relative = os.path.relpath(path.resolve(), self.path.resolve())
        entry = _entry(
            self.path.resolve(), {"id": id, "kind": kind, "title": title, "path": relative}
        )
        kept = tuple(old for old in self._entries if old.id != id)
        study = Study(
            path=self.path,
            title=self.title,
            provenance=self.provenance,
            _entries=(*kept, entry),
        )
        study._write()
        return study

    def entries(self, kind: Kind | None = None) -> list[StudyEntry]:
        """The findings in the order they were added, of one kind or of all."""
        return [entry for entry in self._entries if kind is None or entry.kind == kind]

    def entry(self, id: str) -> StudyEntry:
        """The finding called `id`. Raises BadInput naming those there are."""
        for entry in self._entries:
            if entry.id == id:
                return entry
        names = ", ".join(entry.id for entry in self._entries) or "none"
        raise BadInput(f"no finding {id!r} in {self.path}: it has {names}")

    def _write(self) -> None:
        write_json(
            self.path / INDEX,
            {
                "schema": SCHEMA,
                "title": self.title,
                "provenance": self.provenance.to_json(),
                "entries": [
                    {
                        "id": entry.id,
                        "kind": entry.kind,
                        "title": entry.title,
                        "path": entry.path.relative_to(self.path.resolve()).as_posix(),
                    }
                    for entry in self._entries
                ],
            },
        )


def default_study() -> Path:
    """Where `interp demo` puts its study and `interp explore` looks for one."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "interp" / "demo"


def check_id(id: str) -> None:
    """Raise BadInput unless `id` is one that pages and paths can carry."""
    if not _ID.fullmatch(id):
        raise BadInput(f"finding id {id!r}: expected lower-case letters, digits, . _ -")


def _entry(root: Path, content: dict[str, Any]) -> StudyEntry:
    check_id(content["id"])
    if content["kind"] not in get_args(Kind):
        raise BadInput(f"finding kind {content['kind']!r}: expected one of {get_args(Kind)}")
    path = (root / content["path"]).resolve()
    if not path.is_relative_to(root):
        raise BadInput(f"finding {content['id']!r} points outside its study: {content['path']!r}")
    return StudyEntry(
        id=content["id"], kind=content["kind"], title=str(content["title"]), path=path
    )
