"""Influence: which training examples drive an ability, by the likeness of their gradients.

An example whose gradient points where the validation examples' gradients point teaches what they
ask (LESS, arXiv 2402.04333). Every training example gets a score between -1 and 1, beside the
scores that shuffled validation answers give; a corpus can be narrowed to the highest.

    from interp.abilities.influence import influence_of, narrow
    found = influence_of("base", "corpus.jsonl", "wanted.jsonl")
    found.n_significant(), found.length_correlation
    narrow(found, "corpus.jsonl", "narrowed.jsonl", keep=0.05)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.abilities.influence.adam import AdamForm as AdamForm
    from interp.abilities.influence.influence import Influence as Influence
    from interp.abilities.influence.narrowing import narrow as narrow
    from interp.abilities.influence.scoring import influence_of as influence_of

_HOMES = {
    "AdamForm": "interp.abilities.influence.adam",
    "Influence": "interp.abilities.influence.influence",
    "influence_of": "interp.abilities.influence.scoring",
    "narrow": "interp.abilities.influence.narrowing",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use: a saved Influence opens without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'interp.abilities.influence' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
