"""Attribution patching: what a number would lose if a site held its value of another text.

To first order, for every site at once: two forward passes and one backward pass for each number,
where the exact answer takes a forward pass for each part that is replaced.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.interventions.running import watched
from interp.models.sites import UnknownSite
from interp.results.errors import BadInput

Run = Callable[[Int[Tensor, "batch pos"]], Tensor]
"""A forward pass over some tokens, and what of it the metric is computed from."""
Metric = Callable[[Tensor], Float[Tensor, "metrics batch"]]
"""From what `Run` returns to numbers, each of which depends on its own row of the batch alone."""


class Attribution(NamedTuple):
    """First-order drops, and the metric on both texts."""

    drop: dict[str, Float[Tensor, "metrics batch ..."]]
    """By site, in the shape of the site without its last axis: sum it over what is replaced."""
    clean: Float[Tensor, "metrics batch"]
    corrupted: Float[Tensor, "metrics batch"]


def attribution_patching(
    bridge: TransformerBridge,
    sites: Sequence[str],
    *,
    tokens: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "_ _"],
    metric: Metric,
    run: Run | None = None,
) -> Attribution:
    """By how much `metric` drops on `tokens` when a site is given its value on `corrupted`.

        -<grad_z M, z_corrupted - z_clean>     (Nanda 2023; AtP in 2403.00745)

    The first-order term of exact patching: right where the rest of the model is linear in the site,
    too small where a softmax or a norm saturates. `run` is the forward pass, logits of `bridge`
    unless given. Gradients are taken to the sites alone: no parameter gains a `.grad`. Raises
    UnknownSite, and BadInput where the two texts do not have one shape.
    """
    if tokens.shape != corrupted.shape:
        raise BadInput(
            f"tokens {tuple(tokens.shape)} against corrupted {tuple(corrupted.shape)}: a "
            "corruption keeps every position"
        )
    points = bridge.hook_dict
    for site in sites:
        if site not in points:
            raise UnknownSite(site, points)
    forward = run or bridge
    other = site_values(bridge, sites, lambda: metric(forward(corrupted)))
    own: dict[str, Tensor] = {}
    probes: dict[str, Tensor] = {}

    def probing(site: str) -> Callable[[Tensor], Tensor]:
        def probe(value: Tensor) -> Tensor:
            own[site] = value.detach()
            # Added, not the value itself: a frozen model computes no gradient of its activations.
            probes[site] = torch.zeros_like(own[site]).requires_grad_()
            return value + probes[site]

        return probe

    with torch.enable_grad(), watched([(points[site], probing(site)) for site in sites]):
        clean = metric(forward(tokens))
        gradients = [
            torch.autograd.grad(row.sum(), [probes[site] for site in sites], retain_graph=True)
            for row in clean
        ]
    drop = {
        site: torch.stack([-(g[i] * (other.values[site] - own[site])).sum(-1) for g in gradients])
        for i, site in enumerate(sites)
    }
    return Attribution(drop, clean.detach(), other.result)


class SiteValues(NamedTuple):
    """What some sites held while something was computed, and what came out."""

    values: dict[str, Tensor]
    result: Tensor


@torch.no_grad()
def site_values(
    bridge: TransformerBridge, sites: Sequence[str], compute: Callable[[], Tensor]
) -> SiteValues:
    """Copies of what `sites` hold in the forward pass that `compute` makes, and its result."""
    points = bridge.hook_dict
    held: dict[str, Tensor] = {}

    def keeping(site: str) -> Callable[[Tensor], None]:
        def keep(value: Tensor) -> None:
            held[site] = value.clone()

        return keep

    with watched([(points[site], keeping(site)) for site in sites]):
        result = compute()
    return SiteValues(held, result)
