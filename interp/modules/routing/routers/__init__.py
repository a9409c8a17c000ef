"""Routers, one file each: the folder is the registry.

from interp.modules.routing.routers import routers
scorer = routers()["learnt"].fit(lesson)
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.modules.routing.router import Router


@cache
def routers() -> dict[str, Router]:
    """Every router by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return {module.ROUTER.name: module.ROUTER for module in modules}
