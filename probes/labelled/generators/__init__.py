"""Every kind of labelled function, one file each; a new file here is listed and tested."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from probes.labelled.generator import Generator


@cache
def generators() -> dict[str, Generator]:
    """The generators by name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.GENERATOR.name: module.GENERATOR for module in modules}
