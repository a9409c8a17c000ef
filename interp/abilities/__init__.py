"""Abilities: find the weights that hold one, take them out, and add them to another model.

A locator ranks the entries of a model and gives a NeuronMask; extraction turns an ability model
into AbilityWeights, differences to its base at those entries; transfer adds them to a base, with
the weights of a language, and writes a model directory. Weights at rest are streamed, in memory
that does not grow with the model.

    mask = interp.locate("base", items, locator="change", share=0.2)
    weights = interp.extract("base", "ability", "weights", general="control", mask=mask)
    interp.transfer("base", weights, "merged", language="adapted")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.abilities.masks.mask import NeuronMask as NeuronMask
    from interp.abilities.moving.weights import AbilityWeights as AbilityWeights

_HOMES = {
    "AbilityWeights": "interp.abilities.moving.weights",
    "NeuronMask": "interp.abilities.masks.mask",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use. The verbs live in `interp` itself."""
    if name not in _HOMES:
        raise AttributeError(f"module 'interp.abilities' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
