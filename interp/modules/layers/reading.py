"""What a model makes of a text: pooled states at its sites, and the loss of every sequence."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.interventions.running import watched

PoolingOfStates = Literal["mean", "weighted", "max", "last"]


class Read(NamedTuple):
    """One reading of some sequences."""

    states: Float[Tensor, "sites sequences d"]
    loss: Float[np.ndarray, " sequences"]
    """Summed over predicted tokens, nats."""
    n_tokens: Float[np.ndarray, " sequences"]
    """Predicted tokens."""

    def mean_loss(self) -> float:
        """Nats a predicted token."""
        return float(self.loss.sum() / self.n_tokens.sum())


@torch.no_grad()
def read_batches(
    bridge: TransformerBridge,
    batches: Sequence[TokenBatch],
    *,
    sites: Sequence[HookPoint],
    pooling: PoolingOfStates,
) -> Read:
    """Run `bridge` on all batches. Text tokens only are pooled and predicted.

    Sites are the points themselves: while blocks run in other places their names are not their own.
    One that fires more than once in a pass, as a shared block's does, has its last state.
    """
    device = next(bridge.original_model.parameters()).device
    states, loss, n_tokens = [], [], []
    for batch in batches:
        held: dict[int, Tensor] = {}
        hooks = [(site, _keeping(held, i)) for i, site in enumerate(sites)]
        tokens = torch.from_numpy(batch.tokens).to(device)
        text = torch.from_numpy(batch.attention_mask & ~batch.special).to(device)
        with watched(hooks):
            # A block that runs twice would find its own first keys in a cache.
            logits = bridge(tokens, return_type="logits", use_cache=False)
        states.append(
            torch.stack([pooled(held[i].float(), text, pooling) for i in range(len(sites))])
        )
        of_batch, counted = _losses(logits, tokens, text)
        loss.append(of_batch.cpu().numpy())
        n_tokens.append(counted.cpu().numpy())
    return Read(torch.cat(states, dim=1), np.concatenate(loss), np.concatenate(n_tokens))


def pooled(
    states: Float[Tensor, "batch pos d"], text: Bool[Tensor, "batch pos"], kind: PoolingOfStates
) -> Float[Tensor, "batch d"]:
    """One state a sequence; `weighted` weighs the t-th position by t (2310.15477)."""
    if kind == "max":
        return states.masked_fill(~text[..., None], -torch.inf).amax(dim=1)
    position = torch.arange(1, text.shape[1] + 1, device=text.device, dtype=states.dtype)
    weight = {"mean": torch.ones_like(position), "weighted": position, "last": position}[
        kind
    ] * text
    if kind == "last":
        weight = (weight == weight.amax(dim=1, keepdim=True)).to(states.dtype)
    return (states * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)


def _keeping(held: dict[int, Tensor], site: int):
    def keep(value: Tensor) -> None:
        held[site] = value

    return keep


def _losses(
    logits: Float[Tensor, "batch pos vocab"], tokens: Tensor, text: Bool[Tensor, "batch pos"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    predicted, targets = logits[:, :-1].float(), tokens[:, 1:]
    each = cross_entropy(predicted.flatten(0, 1), targets.flatten(), reduction="none")
    counted = text[:, 1:].double()
    return (each.view(targets.shape).double() * counted).sum(dim=1), counted.sum(dim=1)
