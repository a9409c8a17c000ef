"""A MoEfied layer: a dense MLP that computes with the chosen experts of each token alone.

    with intervened(bridge, moefied(bridge, partition, scorer, reads="input", k=3)):
        logits = bridge(tokens)

Masked, not faster: the model computes every neuron and the mask drops those that were not chosen,
so that with all experts the layer is the dense one to the bit. `GroupedMlp` computes only the
chosen ones.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.interventions import Intervention, splice
from interp.models.sites import split_name
from interp.modules.partition import Partition
from interp.modules.routing.router import Scorer, chosen
from interp.results.errors import BadInput, Mismatch, Unsupported


def moefied(
    bridge: TransformerBridge,
    partition: Partition,
    scorer: Scorer,
    *,
    reads: Literal["input", "neurons"],
    k: int,
    fill: Float[Tensor, " neurons"] | None = None,
) -> list[Intervention]:
    """Interventions after which the partition's layer uses the k best experts of each token.

    Neurons of other experts hand on 0, or their entry of `fill` (a mean over text loses less where
    activations have both signs). Exact: with k = E nothing changes, to the bit. Raises BadInput
    for a k outside 1 to E, Mismatch for a `fill` or a layer of another width.
    """
    if not 1 <= k <= partition.n_experts:
        raise BadInput(f"k = {k}: choose 1 to {partition.n_experts} experts")
    if fill is not None and len(fill) != partition.n_neurons:
        raise Mismatch(f"fill has {len(fill)} entries for {partition.n_neurons} neurons")
    labels = torch.from_numpy(partition.labels.astype("int64"))
    seen: list[Tensor] = []

    def remember(value: Tensor) -> Tensor:
        seen[:] = [value]
        return value

    def keep_chosen(h: Tensor) -> Tensor:
        if h.shape[-1] != partition.n_neurons:
            raise Mismatch(
                f"{partition.site} is {h.shape[-1]} wide and the partition has "
                f"{partition.n_neurons} neurons: it is of another model"
            )
        value = h if reads == "neurons" else seen.pop()
        scores = scorer(value.flatten(0, -2).float())
        on = chosen(scores, k)[:, labels.to(scores.device)].view(h.shape)
        return torch.where(on, h, h.new_zeros(()) if fill is None else fill.to(h))

    edits = [Intervention(site=partition.site, replace=keep_chosen)]
    if reads == "neurons":
        return edits
    return [splice(mlp_input(bridge, partition.site), remember), *edits]


def mlp_input(bridge: TransformerBridge, site: str) -> str:
    """The site of what the MLP reads, for the site of its neurons; Unsupported if there is none."""
    stack, layer, _ = split_name(site)
    for part in ("in", "dense_in"):
        name = f"{stack}.{layer}.mlp.{part}.hook_in"
        if name in bridge.hook_dict:
            return name
    raise Unsupported(f"the MLP of {site} has no input site: only dense MLPs can be MoEfied")
