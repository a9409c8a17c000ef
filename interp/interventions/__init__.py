"""Interventions: what a model computes when one of its sites is replaced while it runs.

An intervention is a small value: a site, and the function that makes what is handed on there. It
is put to work by `intervened`, for the forward passes of one block, and leaves nothing behind.

    with intervened(bridge, [zero("blocks.2.hook_mlp_out", where=text_tokens)]):
        logits = bridge(tokens)
    means = site_means(bridge, ["blocks.2.hook_mlp_out"], corpus.batches(16))
    neurons = on_units(shuffle("blocks.2.mlp.hook_post", generator=g), torch.tensor([3, 17]))
    heads = on_heads(zero("blocks.2.attn.hook_z"), torch.tensor([0, 5]))
"""

from interp.interventions.attribution import attribution_patching, site_values
from interp.interventions.heads import on_heads
from interp.interventions.intervention import Intervention, handed_on, mean, splice, zero
from interp.interventions.means import site_means
from interp.interventions.noise import gaussian, resample, shuffle
from interp.interventions.running import intervened
from interp.interventions.units import on_units

__all__ = [
    "Intervention",
    "attribution_patching",
    "gaussian",
    "handed_on",
    "intervened",
    "mean",
    "on_heads",
    "on_units",
    "resample",
    "shuffle",
    "site_means",
    "site_values",
    "splice",
    "zero",
]
