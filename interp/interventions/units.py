"""Interventions on some units of a site: the rest of each entry stays as the model computed it."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.interventions.intervention import Intervention
from interp.results.errors import BadInput


def on_units(edit: Intervention, units: Int[Tensor, " units"]) -> Intervention:
    """`edit` with only `units` of the last axis replaced: neurons of a layer, dimensions of it.

    `edit.replace` sees these units alone, in the order given, so means and rows that belong to it
    have as many entries. `mean(site, m[units])`, `shuffle(site, ...)`, any splice; an edit that
    reads another site is BadInput, as is a unit twice.
    """
    if edit.reads is not None:
        raise BadInput(f"{edit.site} is computed from {edit.reads}: it cannot be edited by units")
    if len(torch.unique(units)) < len(units):
        raise BadInput(f"{edit.site}: a unit is named twice")

    def some(old: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        place = units.to(old.device)
        if len(units) and not 0 <= int(units.min()) <= int(units.max()) < old.shape[-1]:
            raise BadInput(
                f"{edit.site} has {old.shape[-1]} units: {int(units.max())} is not among them"
            )
        return old.index_copy(-1, place, edit.replace(old.index_select(-1, place)).to(old))

    return replace(edit, replace=some)
