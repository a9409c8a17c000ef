"""T5 blocks whose bridge returns what today's transformers expects of a block.

transformer-lens 3.9 returns (hidden, self bias, self weights, cross bias, cross weights), the
order of transformers 4; transformers 5 unpacks (hidden, self bias, cross bias). Without this a
decoder raises and an encoder hands attention weights on as a bias.
"""

from typing import Any

from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import T5ForConditionalGeneration

_ENCODER, _DECODER = 3, 5


def repair_t5_blocks(bridge: TransformerBridge) -> None:
    """Put the outputs of every T5 block in today's order; other models are left alone."""
    if not isinstance(bridge.original_model, T5ForConditionalGeneration):
        return
    for stack in (bridge.encoder_blocks, bridge.decoder_blocks):
        for block in stack:
            block.original_component.register_forward_hook(_reorder)


def _reorder(_block: nn.Module, _inputs: Any, output: tuple[Tensor | None, ...]) -> Any:
    if len(output) == _DECODER:
        return output[0], output[1], output[3]
    if len(output) == _ENCODER:
        return output[0], output[1], None
    return output
