"""A shortened model as a Hugging Face directory that opens in plain transformers."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import nn

from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.trainable import TrainableModel, read_decoder, write_trained
from interp.modules.layers.blocks import check_sources
from interp.results.atomic import write_json
from interp.results.errors import Unsupported

SCHEMA = "interp.shortened-model/1"


def write_shortened(
    model: str | Path, sources: Sequence[int], out: Path, *, overwrite: bool = False
) -> Path:
    """Write the decoder whose i-th layer is layer `sources[i]` of `model`, as float32.

    A layer named twice is written twice, so the copies may be trained apart. `interp.json` beside
    the weights says where they come from. Raises Unsupported for a model whose configuration speaks
    of its layers by number.
    """
    directory = directory_of(str(model))
    whole: Any = read_decoder(directory)
    layers = _layers(whole)
    check_sources(sources, len(layers))
    _shorten_config(whole.config, sources)
    taken: set[int] = set()
    for slot, block in enumerate([_taken(layers, source, taken) for source in sources]):
        layers._modules[str(slot)] = block
    for slot in range(len(sources), len(layers)):
        del layers._modules[str(slot)]
    trained = TrainableModel(
        model=whole, directory=directory, parameters={}, embeddings=frozenset()
    )
    with write_trained(trained, out, overwrite=overwrite) as place:
        source = {"model": str(model), "model_hash": model_hash(directory)}
        write_json(place / "interp.json", {"schema": SCHEMA, **source, "layers": list(sources)})
    return out


def _taken(layers: nn.ModuleList, source: int, taken: set[int]) -> nn.Module:
    # Tensors that two names share would be written under one.
    block = layers[source] if source not in taken else deepcopy(layers[source])
    taken.add(source)
    return block


def _layers(model: Any) -> nn.ModuleList:
    n = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n:
            return module
    raise Unsupported(f"{type(model).__name__}: no list of its {n} layers was found")


def _shorten_config(config: Any, sources: Sequence[int]) -> None:
    by_number = [
        name
        for name in ("mlp_only_layers", "no_rope_layers", "global_attn_every_n_layers")
        if getattr(config, name, None)
    ]
    if by_number:
        raise Unsupported(
            f"{config.model_type} with {by_number[0]}: layers it counts cannot be moved"
        )
    kinds = getattr(config, "layer_types", None)
    config.num_hidden_layers = len(sources)
    if kinds is not None:
        config.layer_types = [kinds[source] for source in sources]
