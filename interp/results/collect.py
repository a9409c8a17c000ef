"""Collect: a finding made anywhere, copied into a study."""

import json
import re
import shutil
from pathlib import Path

from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput
from interp.results.finding import HEADER
from interp.results.provenance import Provenance
from interp.results.study import INDEX, Kind, Study, check_id

_BY_SCHEMA: dict[str, Kind] = {
    "interp.mask": "mask",
    "interp.ability": "ability",
    "interp.comparison": "comparison",
}


def add_finding(
    directory: Path, finding: Path, *, id: str | None = None, title: str | None = None
) -> Study:
    """The study in `directory`, started if there is none, with a copy of `finding` in it.

    Its kind is read from its files. Raises BadInput if it is none of ours, or if the study already
    has a finding of that id.
    """
    kind = kind_of(finding)
    id = id or re.sub(r"[^a-z0-9._-]+", "-", finding.resolve().name.lower()).strip("-._")
    study = Study.open(directory) if (directory / INDEX).is_file() else _started(directory)
    if any(entry.id == id for entry in study.entries()):
        raise BadInput(f"{directory} already has a finding {id!r}: pass another --id")
    check_id(id)
    target = study.path / "added" / id
    with atomic_directory(target) as copy:
        shutil.copytree(finding, copy, dirs_exist_ok=True, symlinks=True)
    return study.add(id, kind=kind, title=title or finding.resolve().name, path=target)


def kind_of(finding: Path) -> Kind:
    """What kind of finding lies in a directory, by its files. Raises BadInput if it is none."""
    if (finding / "store.json").is_file():
        return "store"
    if (finding / HEADER).is_file():
        schema = _schema(finding / HEADER)
        if schema in _BY_SCHEMA:
            return _BY_SCHEMA[schema]
    if (finding / "config.json").is_file():
        return "model"
    raise BadInput(
        f"{finding} is no finding: expected a store, a mask, ability weights, a comparison or a "
        "model directory"
    )


def _schema(header: Path) -> str:
    try:
        content = json.loads(header.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{header} is not JSON ({error})") from error
    found = content.get("schema") if isinstance(content, dict) else None
    return str(found).split("/")[0]


def _started(directory: Path) -> Study:
    made = Provenance.collect(
        "interp study add", model_hash=None, corpus_hash=None, seed=None, settings={}
    )
    return Study.create(directory, title=directory.resolve().name, provenance=made)
