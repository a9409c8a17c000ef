"""The formats, one file each; the folder is the registry."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.dictionaries.exchange.format import Format


@cache
def formats() -> dict[str, Format]:
    """Every format by its name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {module.FORMAT.name: module.FORMAT for module in modules}
