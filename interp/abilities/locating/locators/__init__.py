"""The locators, one file each: the folder is the registry.

A locator scores every entry of a tensor; `interp.abilities.locating.locate` gathers what it needs
and keeps the highest scores. Those with `null` set know nothing of the ability: what others must
beat.

    from interp.abilities.locating.locators import locators
    for name, locator in locators().items():
        print(name, locator.question)
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.abilities.locating.locator import Locator
from interp.results.errors import BadInput


@cache
def locators() -> dict[str, Locator]:
    """Every locator by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.LOCATOR.name: module.LOCATOR for module in modules}


def locator_named(name: str) -> Locator:
    """The locator called `name`. Raises BadInput naming those there are."""
    known = locators()
    if name not in known:
        raise BadInput(f"no locator {name!r}: there are {', '.join(sorted(known))}")
    return known[name]
