"""Effective embeddings: what the later blocks see of a token that stands alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention import HeadGeometry
from interp.results.errors import BadInput, Unsupported

TOKENS = 1024
"""Tokens of a forward pass."""


class _Read(Exception):
    """Block 0 is done: nothing after it is computed."""


def effective_embedding(
    bridge: TransformerBridge, tokens: Int[Tensor, " tokens"] | None = None
) -> Float[Tensor, "tokens d_model"]:
    """The residual stream after block 0 for each token alone, attention and position zeroed.

    A function of the token only (arXiv 2310.04625, appendix I): its embedding and what the first
    MLP makes of it. `tokens` None is the whole vocabulary: d_vocab passes of one token through one
    block.
    """
    geometry = HeadGeometry.of(bridge)
    every = torch.arange(len(geometry.W_E)) if tokens is None else tokens
    taken: list[Tensor] = []
    with _only_block_zero(bridge, geometry, taken), torch.no_grad():
        for ids in every.split(TOKENS):
            try:
                bridge(ids[:, None].to(geometry.device), return_type=None, use_cache=False)
            except _Read:
                continue
    if sum(len(part) for part in taken) != len(every):
        raise Unsupported(f"{geometry.name}: blocks.0.hook_resid_post did not fire")
    return torch.cat(taken) if taken else geometry.W_E[:0]


@contextmanager
def _only_block_zero(
    bridge: TransformerBridge, geometry: HeadGeometry, taken: list[Tensor]
) -> Iterator[None]:
    def zero(value: Tensor, *, hook: HookPoint) -> Tensor:  # noqa: ARG001
        return torch.zeros_like(value)

    def take(value: Tensor, *, hook: HookPoint) -> None:  # noqa: ARG001
        taken.append(value[:, 0].detach().clone())
        raise _Read

    hooked = sorted(name for name, point in bridge.hook_dict.items() if point.has_hooks())
    if hooked:
        raise BadInput(
            f"the model carries hooks ({', '.join(hooked[:3])}): remove them with "
            "model.reset_hooks() before its embeddings are read"
        )
    edits = [(geometry.attn_out_site(0), zero), ("blocks.0.hook_resid_post", take)]
    if "pos_embed.hook_out" in bridge.hook_dict:
        edits.append(("pos_embed.hook_out", zero))
    training = bridge.training, bridge.original_model.training
    bridge.eval()
    bridge.original_model.eval()
    try:
        with bridge.hooks(fwd_hooks=edits):
            yield
    finally:
        bridge.train(training[0])
        bridge.original_model.train(training[1])
