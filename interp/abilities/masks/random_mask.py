"""Random masks with the counts of another in every tensor: the fair null of a located mask."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.support import Support
from interp.abilities.masks.uniform import uniform_scores
from interp.abilities.streaming.topk import top_entries
from interp.abilities.units.unit_choice import UnitChoice
from interp.abilities.units.unit_selection import drawn_like
from interp.models.identity import ModelIdentity
from interp.results.provenance import Provenance


def random_like(mask: NeuronMask, *, seed: int) -> NeuronMask:
    """Entries drawn at random, as many in every tensor as `mask` has; of units, units.

    Of neurons and heads as many are drawn in every layer, of tensors as many of every type. A gain
    of `mask` over it comes from which entries were chosen, not from which tensors.
    """
    settings = {"locator": "random", "like": mask.recipe, "seed": seed}
    drawn = NeuronMask(
        tensors={},
        level=mask.level,
        recipe=settings,
        base=mask.base,
        provenance=locating_provenance(settings, mask.base, None, seed),
    )
    if mask.units is not None:
        return of_units(drawn, drawn_like(mask.units, np.random.default_rng(seed)))
    return replace(drawn, tensors={n: _drawn(n, s, seed) for n, s in mask.tensors.items()})


def of_units(mask: NeuronMask, units: UnitChoice) -> NeuronMask:
    """`mask` with the entries of `units` in place of its own."""
    return replace(mask, units=units, tensors=units.supports(), level=units.kind)


def locating_provenance(
    settings: Mapping[str, Any], identity: ModelIdentity, corpus: str | None, seed: int | None
) -> Provenance:
    """Provenance of a mask."""
    return Provenance.collect(
        "interp ability locate",
        model_hash=identity.root,
        corpus_hash=corpus,
        seed=seed,
        settings=dict(settings),
    )


def _drawn(name: str, support: Support, seed: int) -> Support:
    shapes = {name: support.shape}
    keys = uniform_scores(shapes, seed=seed, purpose="random_like")
    return top_entries(shapes, keys, k=support.count).supports[name]
