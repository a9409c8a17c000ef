"""Inputs and outputs of a model's mixture-of-experts blocks, batch by batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.interventions.running import Seen, watched
from interp.modules.native.blocks import NativeBlock
from interp.modules.native.experts import block_output
from interp.results.errors import Unsupported

_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9, torch.float16: 2e-2, torch.bfloat16: 1e-1}


class BlockValues(NamedTuple):
    """What one block read and wrote in one forward pass."""

    x: Float[Tensor, "batch pos d_model"]
    out: Float[Tensor, "batch pos d_model"]


@torch.no_grad()
def read_blocks(
    bridge: TransformerBridge, blocks: Sequence[NativeBlock], batch: TokenBatch
) -> list[BlockValues]:
    """Input and output of every block for `batch`, in order of `blocks`.

    An encoder-decoder model reads the text in its encoder, and its decoder is fed the same text,
    shifted right after the start token: position i of the decoder predicts token i.
    """
    kept: dict[str, Tensor] = {}
    hooks = bridge.hook_dict
    names = [f"{block.site}.{end}" for block in blocks for end in ("hook_in", "hook_out")]
    with watched([(hooks[name], _keep(kept, name)) for name in names]):
        forward(bridge, batch, return_type=None)
    return [
        BlockValues(kept[f"{block.site}.hook_in"], kept[f"{block.site}.hook_out"])
        for block in blocks
    ]


def forward(bridge: TransformerBridge, batch: TokenBatch, *, return_type: str | None) -> Any:
    """One forward pass over a batch, padding masked out, without a cache of keys and values."""
    device = next(bridge.original_model.parameters()).device
    arguments: dict[str, Any] = {"use_cache": False}
    if not batch.attention_mask.all():
        arguments["attention_mask"] = torch.from_numpy(batch.attention_mask).long().to(device)
    tokens = torch.from_numpy(batch.tokens).to(device)
    return bridge(tokens, return_type=return_type, **arguments)


@torch.no_grad()
def recomputation_error(block: NativeBlock, values: BlockValues) -> float:
    """Largest difference of the recomputed output from the model's, over the largest output.

    Raises Unsupported if it is more than rounding: then what is read is not what the model does.
    """
    difference = (block_output(block, values.x) - values.out).abs().max()
    error = float(difference / values.out.abs().max().clamp_min(1e-12))
    limit = _TOLERANCE.get(values.out.dtype, 1e-4)
    if not error <= limit:
        raise Unsupported(
            f"{block.site}: the weighted sum of its experts differs from its output by {error:.1e} "
            f"of the largest entry, where at most {limit:.0e} was expected: hooks or another "
            f"version of the {block.style} code change what the block computes"
        )
    return error


def _keep(kept: dict[str, Tensor], name: str) -> Seen:
    def keep(value: Tensor) -> None:
        # A copy: the model may go on to edit the tensor in place.
        kept[name] = value.detach().clone()

    return keep
