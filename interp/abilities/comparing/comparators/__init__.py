"""The comparators, one file each: the folder is the registry.

A comparator merges whole models without knowing which entries matter. It is tuned on the same grid
and the same validation items as the transfer it is held against.

    from interp.abilities.comparing.comparators import comparators
    merged = comparators()["task_arithmetic"].merge(sources, Scales(gamma=1.0, eta=1.0))
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.abilities.comparing.comparator import Comparator
from interp.results.errors import BadInput


@cache
def comparators() -> dict[str, Comparator]:
    """Every comparator by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.COMPARATOR.name: module.COMPARATOR for module in modules}


def asked_comparators(names: Sequence[str] = ()) -> list[Comparator]:
    """The standard ones, plain addition first, then those named. Raises BadInput on others."""
    known = comparators()
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise BadInput(f"no comparator {unknown[0]!r}: there are {', '.join(sorted(known))}")
    chosen = [c for c in known.values() if c.standard or c.name in names]
    return sorted(chosen, key=lambda c: (c.name != "task_arithmetic", not c.standard, c.name))
