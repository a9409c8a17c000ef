"""A model that runs its blocks in another order: without some, or one in the place of another."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from interp.models.architectures import ARCHITECTURES
from interp.results.errors import BadInput, Unsupported


def n_blocks(bridge: TransformerBridge) -> int:
    """How many blocks a decoder has. Raises Unsupported for another kind of model."""
    model: Any = bridge.original_model
    name = type(model).__name__
    if ARCHITECTURES.get(name) != "decoder":
        raise Unsupported(f"{name} is not a decoder: layers are removed from decoders only")
    return len(_blocks(bridge))


def resid_post(bridge: TransformerBridge, layer: int) -> HookPoint:
    """Where a block hands on its output, wherever the block runs."""
    return bridge.hook_dict[f"blocks.{layer}.hook_resid_post"]


@contextmanager
def running_blocks(
    bridge: TransformerBridge, sources: Sequence[int]
) -> Iterator[TransformerBridge]:
    """`bridge`, whose forward passes in the block run the blocks `sources`, in this order.

    A block left out is skipped, one named twice runs twice; no weight is copied or edited. Hooks of
    a block fire whenever it runs, in whichever place. Run it without a cache of keys.
    """
    check_sources(sources, n_blocks(bridge))
    blocks, config = _blocks(bridge), _config(bridge)
    whole, kinds = blocks._modules, getattr(config, "layer_types", None)
    blocks._modules = OrderedDict((str(i), whole[str(s)]) for i, s in enumerate(sources))
    if kinds is not None:
        # transformers looks up by slot whether a layer's attention is local.
        config.layer_types = [kinds[source] for source in sources]
    try:
        yield bridge
    finally:
        blocks._modules = whole
        if kinds is not None:
            config.layer_types = kinds


def check_sources(sources: Sequence[int], n_layers: int) -> None:
    """Raises BadInput for no layer, or one that is not there."""
    wrong = [layer for layer in sources if not 0 <= layer < n_layers]
    if wrong or not sources:
        found = f"layer {wrong[0]}" if wrong else "no layer"
        raise BadInput(f"{found} to run in a model of {n_layers}: give layers 0 to {n_layers - 1}")


def _blocks(bridge: TransformerBridge) -> nn.ModuleList:
    blocks: Any = bridge.blocks
    return blocks


def _config(bridge: TransformerBridge) -> Any:
    return bridge.original_model.config
