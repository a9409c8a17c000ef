"""What a bridge's forward takes so that every stack has one position a token of the batch."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge


def forward_inputs(
    bridge: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
) -> dict[str, Any]:
    """Keyword arguments for `bridge.forward`.

    The decoder of an encoder-decoder model reads the same tokens one to the right, its start
    token first (as in training with teacher forcing), so that its sites, too, have an entry a
    token.
    """
    inputs: dict[str, Any] = {"input": tokens}
    if attention_mask is not None:
        inputs["attention_mask"] = attention_mask.long()
    if bridge.original_model.config.is_encoder_decoder:
        inputs["decoder_input"] = shifted_right(bridge, tokens)
    return inputs


def shifted_right(
    bridge: TransformerBridge, tokens: Int[Tensor, "batch pos"]
) -> Int[Tensor, "batch pos"]:
    """`tokens` one to the right, the model's decoder start token first."""
    config = bridge.original_model.config
    start = config.decoder_start_token_id
    first = torch.full_like(tokens[:, :1], config.pad_token_id if start is None else start)
    return torch.cat([first, tokens[:, :-1]], dim=1)
