"""The detectors there are: a file each in `detectors`, found by looking into the folder."""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.heads import detectors as folder
from interp.heads.detector import Detector
from interp.results.errors import BadInput


@cache
def registry() -> dict[str, Detector]:
    """Every detector by name, sorted."""
    modules = [
        import_module(f"{folder.__name__}.{one.name}") for one in iter_modules(folder.__path__)
    ]
    return {found.name: found for found in sorted((m.DETECTOR for m in modules), key=_name)}


def detectors_named(names: Iterable[str]) -> list[Detector]:
    """Those asked for, in order; BadInput with the nearest names for one that is not there."""
    known = registry()
    chosen = []
    for name in dict.fromkeys(names):
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise BadInput(f"no detector {name!r}: {hint}`interp heads list` shows all")
        chosen.append(known[name])
    return chosen


def _name(detector: Detector) -> str:
    return detector.name
