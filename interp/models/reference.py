"""ModelReference: which model a name means, decided without loading or fetching it.

A name is tried in this order: a bundled name (`polyglot`, `polyglot/ability`), a directory on
disk (`./polyglot` says that a directory is meant), a Hugging Face hub id. `NAME@STEP` is one
checkpoint of a series of any of the three.
"""

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from interp.results.errors import BadInput

BUNDLED = Path(__file__).parent / "bundled"
DEFAULT_VARIANT = "base"
"""What a family's name alone means, where its card names no `default`."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_STEP_DIRECTORY = re.compile(r"(?:step|checkpoint)[-_]?(\d+)")


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """Where a model's files are, and under which name it was asked for."""

    name: str
    kind: Literal["hub", "directory", "bundled"]
    path: Path | None
    """The directory with config.json; None for a hub model not fetched yet."""
    hub_id: str | None
    revision: str | None
    """Hub models only: branch, tag or commit as asked; the resolved commit once fetched."""


def bundled_names() -> list[str]:
    """`NAME/VARIANT` of every model that travels with the package."""
    cards = sorted(BUNDLED.glob("*/card.json"))
    return [
        f"{card.parent.name}/{variant.name}"
        for card in cards
        for variant in sorted(card.parent.iterdir())
        if variant.is_dir() and _is_model_or_series(variant)
    ]


def resolve(ref: str, *, revision: str | None = None) -> ModelReference:
    """The reference that `ref` names; no network, no weights.

    Raises BadInput for a path that does not exist, a directory without a model, an unknown step,
    and `revision` with anything but a hub id.
    """
    if not ref.strip() or "\0" in ref:
        raise BadInput(f"{ref!r} is not a model: give a hub id, a directory or a bundled name")
    try:
        found = _bundled(ref) or _directory(ref) or _hub(ref, revision)
    except (OSError, RuntimeError) as error:  # a name too long for a path, a ~user that is not
        raise BadInput(f"{ref[:200]!r} is not a model: {_reason(error)}") from error
    if revision is not None and found.kind != "hub":
        raise BadInput(f"{ref} is a local {found.kind} model and has no revision {revision!r}")
    return found


def _reason(error: OSError | RuntimeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def resolve_series(ref: str) -> ModelReference:
    """The reference of a whole series: a directory with or without a model of its own, or a hub id.

    Raises BadInput as `resolve` does, and for a name that says `@STEP`.
    """
    if split_step(ref)[1] is not None and not Path(ref).expanduser().is_dir():
        raise BadInput(f"{ref} names one checkpoint: leave @STEP out to name the series")
    full = _with_variant(ref)
    path = BUNDLED / full if full in bundled_names() else Path(ref).expanduser()
    if path.is_dir():
        kind = "bundled" if path.is_relative_to(BUNDLED) else "directory"
        return ModelReference(name=ref, kind=kind, path=path, hub_id=None, revision=None)
    return resolve(ref)


def step_directories(directory: Path) -> dict[int, Path]:
    """Step -> directory of every `step-N`, `stepN` or `checkpoint-N` inside, by number."""
    steps = {
        int(match[1]): path
        for path in directory.iterdir()
        if path.is_dir() and (match := _STEP_DIRECTORY.fullmatch(path.name))
    }
    return dict(sorted(steps.items()))


def split_step(ref: str) -> tuple[str, int | None]:
    """`name@100` as `("name", 100)`; a name without a step as `(name, None)`."""
    name, at, step = ref.rpartition("@")
    return (name, int(step)) if at and name and step.isdecimal() else (ref, None)


def _is_model_or_series(path: Path) -> bool:
    return (path / "config.json").is_file() or bool(step_directories(path))


def _bundled(ref: str) -> ModelReference | None:
    name, step = split_step(ref)
    names = bundled_names()
    full = _with_variant(name)
    if full in names:
        path = _at_step(ref, BUNDLED / full, step)
        return ModelReference(name=ref, kind="bundled", path=path, hub_id=None, revision=None)
    family = name.split("/")[0]
    if any(known.startswith(f"{family}/") for known in names) and not Path(name).is_dir():
        near = ", ".join(known for known in names if known.startswith(f"{family}/"))
        raise BadInput(f"no bundled model {ref!r}: of {family} there are {near}")
    return None


def _with_variant(name: str) -> str:
    card = BUNDLED / name / "card.json"
    if "/" in name or not card.is_file():
        return name if "/" in name else f"{name}/{DEFAULT_VARIANT}"
    default = json.loads(card.read_text(encoding="utf-8")).get("default", DEFAULT_VARIANT)
    return f"{name}/{default}"


def _directory(ref: str) -> ModelReference | None:
    as_is = Path(ref).expanduser()
    name, step = (ref, None) if as_is.is_dir() else split_step(ref)
    path = Path(name).expanduser()
    if path.is_dir():
        path = _at_step(ref, path, step)
        return ModelReference(name=ref, kind="directory", path=path, hub_id=None, revision=None)
    if path.exists():
        raise BadInput(f"{ref} is a file: give the directory that holds config.json and weights")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BadInput(f"no directory {ref}")
    return None


def _at_step(ref: str, path: Path, step: int | None) -> Path:
    steps = step_directories(path)
    if step is None:
        if (path / "config.json").is_file():
            return path
        if steps:
            some = ", ".join(map(str, list(steps)[:8]))
            raise BadInput(f"{ref} is a series of {len(steps)} checkpoints: add @STEP, of {some}")
        raise BadInput(f"{ref} holds no config.json: it is not a Hugging Face model directory")
    if step not in steps:
        known = ", ".join(map(str, steps)) or "none"
        raise BadInput(f"{ref}: no step {step} in {path}, there are {known}")
    return steps[step]


def _hub(ref: str, revision: str | None) -> ModelReference:
    name, step = split_step(ref)
    if not _HUB_ID.fullmatch(name):
        near = get_close_matches(name, bundled_names(), n=1)
        hint = f"; did you mean the bundled {near[0]}?" if near else ""
        raise BadInput(f"{ref!r} is no directory, no bundled model and no hub id{hint}")
    if step is not None:
        if revision is not None:
            raise BadInput(f"{ref} names a step and revision={revision!r} another: give one")
        revision = f"step{step}"
    return ModelReference(name=ref, kind="hub", path=None, hub_id=name, revision=revision)
