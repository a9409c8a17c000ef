"""The families of decoders whose units we can name, one file each: the folder is the registry.

A family says, for every tensor within a layer, which rows or columns belong to which MLP neuron,
query head or key and value head. Each entry belongs to exactly one of them or to a group (norms,
tables, output biases).

    from interp.abilities.units.layouts import family_of
    family_of("LlamaForCausalLM").name
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from interp.abilities.units.segments import Family
from interp.results.errors import Unsupported


@cache
def families() -> tuple[Family, ...]:
    """Every family in the folder."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return tuple(module.FAMILY for module in modules)


def family_of(architecture: str, *, model_type: str = "") -> Family:
    """The family of an architecture, or of a model type where it is a bare trunk's.

    Raises Unsupported naming those we know.
    """
    for family in families():
        if architecture in family.architectures or (
            model_type in family.model_types and not architecture.endswith("LM")
        ):
            return family
    known = sorted(name for family in families() for name in family.architectures)
    raise Unsupported(
        f"the neurons and heads of a {architecture} are not known, those of {', '.join(known)} "
        "are: locate single entries, level 'entry'"
    )


def family_named(name: str) -> Family:
    """The family called `name`. Raises Unsupported naming those we know."""
    known = {family.name: family for family in families()}
    if name not in known:
        raise Unsupported(f"the layout {name!r} is not known: there are {', '.join(known)}")
    return known[name]
