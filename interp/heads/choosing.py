"""Which detectors run: those named, or all that share forward passes and have their input."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interp.heads.detector import Detector
from interp.heads.registry import detectors_named, registry
from interp.results.errors import BadInput

_OPTION = {"text": "--text", "relations": "--relations", "items": "--items"}


def kind_fed(detector: Detector) -> str:
    """The kind of input a detector reads; `random` is part of what is fed as `repeated`."""
    return "repeated" if detector.inputs == "random" else detector.inputs


def choose(
    wanted: Sequence[str | Detector] | None,
    *,
    text: Any = None,
    relations: Any = None,
    items: Path | None = None,
) -> list[Detector]:
    """The detectors to run, those that others are derived from included.

    Raises BadInput for one that is named and lacks its input, and where none is left.
    """
    there = _there(text=text, relations=relations, items=items)
    if wanted is None:
        chosen = _all_possible(there)
    else:
        chosen = [d if isinstance(d, Detector) else detectors_named([d])[0] for d in wanted]
        for detector in chosen:
            if kind_fed(detector) not in there:
                raise BadInput(
                    f"{detector.name} reads {detector.inputs}: give {_OPTION[detector.inputs]}"
                )
    if not chosen:
        raise BadInput("no detector was chosen: name one, `interp heads list` shows them")
    return _with_sources(chosen)


def _there(*, text: Any, relations: Any, items: Path | None) -> set[str]:
    given = {"text": text, "relations": relations, "items": items}
    found = {kind for kind, value in given.items() if value is not None} | {"repeated", "none"}
    return found | {"text"} if relations is not None else found


def _all_possible(there: set[str]) -> list[Detector]:
    return [d for d in registry().values() if not d.only_named and kind_fed(d) in there]


def _with_sources(chosen: list[Detector]) -> list[Detector]:
    by_name = {detector.name: detector for detector in chosen}
    missing = [name for d in chosen for name in d.after if name not in by_name]
    return [*detectors_named(missing), *by_name.values()]


def check_options(given: Mapping[str, Any], detectors: Sequence[str | Detector]) -> None:
    """Raise BadInput for an argument that no detector reads, naming those that there are."""
    own = [detector for detector in detectors if isinstance(detector, Detector)]
    known = {name: d.name for d in [*registry().values(), *own] for name in d.options}
    unknown = [name for name in given if name not in known]
    if unknown:
        listed = ", ".join(f"{name} ({reader})" for name, reader in known.items())
        raise BadInput(f"no detector reads {', '.join(unknown)}: there are {listed}")
