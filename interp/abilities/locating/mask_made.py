"""The mask of a selection, and whether a locator can give one at a level."""

from collections.abc import Mapping
from typing import Any

from interp.abilities.locating.locator import Locator
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.selection import Selection
from interp.models.identity import ModelIdentity
from interp.results.errors import BadInput
from interp.results.provenance import Provenance


def mask_of(
    selection: Selection,
    *,
    settings: Mapping[str, Any],
    identity: ModelIdentity,
    provenance: Provenance,
) -> NeuronMask:
    """The mask of a selection, with the threshold of its matrices, or of its units."""
    thresholds, units = selection.thresholds, selection.units
    sizes = {} if units is None else {"entries": units.sizes()}
    return NeuronMask(
        tensors=selection.supports,
        level="entry" if units is None else units.kind,
        recipe={**settings, "thresholds": thresholds, **sizes},
        base=identity,
        provenance=provenance,
        threshold=thresholds.get("matrices" if units is None else "units"),
        histogram=selection.histogram,
        units=units,
    )


def check_level(locator: Locator, level: str) -> None:
    """Raise BadInput where a locator does not score what is to be ranked."""
    if level == "entry" and locator.score is None:
        raise BadInput(f"locator {locator.name!r} scores units: give a level, as neuron")
    if level != "entry" and locator.keep is not None:
        raise BadInput(f"locator {locator.name!r} chooses entries by a rule of its own: no units")
