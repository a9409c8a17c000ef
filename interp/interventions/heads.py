"""Interventions on some attention heads of a layer: the others keep what the model computed."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.interventions.intervention import Intervention
from interp.results.errors import BadInput


def on_heads(edit: Intervention, heads: Int[Tensor, " heads"]) -> Intervention:
    """`edit` of a site (batch, pos, head, d_head), such as `hook_z`, with only `heads` replaced.

    `edit.replace` sees these heads alone, in the order given, so means and rows that belong to it
    have as many. Under grouped-query attention `hook_z` still has an entry for every query head.
    An edit that reads another site is BadInput, as is a head twice.
    """
    if edit.reads is not None:
        raise BadInput(f"{edit.site} is computed from {edit.reads}: it cannot be edited by heads")
    if len(torch.unique(heads)) < len(heads):
        raise BadInput(f"{edit.site}: a head is named twice")

    def some(old: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if old.ndim != 4:
            raise BadInput(f"{edit.site} holds {tuple(old.shape)}: it has no axis of heads")
        if len(heads) and not 0 <= int(heads.min()) <= int(heads.max()) < old.shape[2]:
            raise BadInput(
                f"{edit.site} has {old.shape[2]} heads: {int(heads.max())} is not among them"
            )
        place = heads.to(old.device)
        return old.index_copy(2, place, edit.replace(old.index_select(2, place)).to(old))

    return replace(edit, replace=some)
