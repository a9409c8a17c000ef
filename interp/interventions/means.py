"""The mean of what sites hold over a text: the value that mean ablation puts in their place."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.interventions.running import watched
from interp.models.sites import UnknownSite
from interp.results.errors import BadInput


@torch.no_grad()
def site_means(
    bridge: TransformerBridge, sites: Sequence[str], batches: Iterable[TokenBatch]
) -> dict[str, Float[Tensor, "..."]]:
    """By site, the mean entry of a token over all text tokens; summed in float64.

    BOS, other special tokens and padding are left out: their activations are far from those of
    text. Raises UnknownSite, and BadInput if there is no text token.
    """
    points = bridge.hook_dict
    for site in sites:
        if site not in points:
            raise UnknownSite(site, points)
    sums: dict[str, Tensor] = {}
    n = 0
    device = next(bridge.original_model.parameters()).device
    for batch in batches:
        keep = torch.from_numpy(batch.attention_mask & ~batch.special).to(device)
        n += int(keep.sum())
        with watched([(points[site], _adding(sums, site, keep)) for site in sites]):
            bridge(torch.from_numpy(batch.tokens).to(device), return_type=None)
    if n == 0:
        raise BadInput("the mean of a site over no token: the text holds special tokens only")
    return {site: (sums[site] / n).float() for site in sites}


def _adding(sums: dict[str, Tensor], site: str, keep: Tensor):
    def add(value: Tensor) -> None:
        flat = value.flatten(0, 1) if value.shape[:2] == keep.shape else value
        if flat.shape[:1] != (keep.numel(),):
            raise BadInput(f"{site} holds {tuple(value.shape)}: it has no entry a token to average")
        total = flat[keep.flatten()].double().sum(0)
        sums[site] = sums[site] + total if site in sums else total

    return add
