"""circuit-tracer: `config.yaml` and `layer_i.safetensors`, a transcoder for every layer from 0 on.

Rows of the encoder are features there, columns here. A topk transcoder there keeps negative
pre-activations among its k largest; here they are zero, as in the tools that train them. Sets whose
files lie on the hub (`hf://`) and cross-layer transcoders are refused.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from sae_lens import SAE
from safetensors.torch import save_file
from torch import Tensor

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.exchange.format import (
    Foreign,
    Format,
    contiguous,
    full,
    plain_state,
    read_tensors,
    refused,
    sae_lens_config,
    taken,
)
from interp.results.errors import BadInput, CorruptFile, Unsupported

CONFIG = "config.yaml"
_THRESHOLD = "activation_function.threshold"
_HOOKS = ("feature_input_hook", "feature_output_hook")
_IN_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_ACTIVATIONS = {
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "topk_transcoder": "topk",
    "topk_skip_transcoder": "topk",
    "jumprelu_transcoder": None,
    "jumprelu_skip_transcoder": None,
}
"""Architecture -> activation; none is named where thresholds lie in the files."""


def recognises(directory: Path) -> bool:
    """Whether there is a config of this tool's name."""
    return (directory / CONFIG).is_file()


def read(directory: Path) -> Iterator[Foreign]:
    """The transcoders, layer by layer."""
    config = _read_config(directory / CONFIG)
    for layer, file in enumerate(_files(config, directory)):
        tensors = read_tensors(file)
        state = {n: taken(tensors, n, file) for n in ("W_enc", "W_dec", "b_enc", "b_dec")}
        state["W_enc"] = state["W_enc"].T
        if "W_skip" in tensors:
            state["W_skip"] = taken(tensors, "W_skip", file)
        architecture = _architecture(config, tensors)
        if architecture.startswith("jumprelu"):
            state["threshold"] = _thresholds(tensors, state["b_enc"], file)
        sites = [f"blocks.{layer}.{config[hook]}" for hook in _HOOKS]
        metadata = {"hook_name": sites[0], "hook_name_out": sites[1]}
        yield Foreign(
            name=sites[0],
            config=sae_lens_config(
                architecture,
                state,
                apply_b_dec_to_input=False,
                metadata={**metadata, "model_name": config.get("model_name")},
                extra={"k": _k(config, tensors)} if architecture.startswith("topk") else {},
            ),
            state=contiguous(state),
            files=(directory / CONFIG, file),
        )


def write(saes: Sequence[SAE[Any]], directory: Path) -> None:
    """A set: one transcoder a layer, from 0 on, all of one kind, width and pair of hooks."""
    layers = _ordered(saes)
    first = layers[0]
    kinds = {(s.cfg.architecture(), s.cfg.d_in, s.cfg.d_out, s.cfg.d_sae) for s in layers}
    ks = {getattr(sae.cfg, "k", None) for sae in layers}
    if len(kinds) > 1 or len(ks) > 1:
        raise Unsupported(
            "circuit_tracer wants transcoders of one architecture, width and k in all layers: "
            f"these are {', '.join(map(str, sorted(kinds)))} with k {', '.join(map(str, ks))}"
        )
    if first.cfg.d_in != first.cfg.d_out:
        raise Unsupported(
            f"circuit_tracer transcodes between equal widths, not {first.cfg.d_in} and "
            f"{first.cfg.d_out}"
        )
    for layer, sae in enumerate(layers):
        save_file(_tensors(sae), directory / f"layer_{layer}.safetensors")
    card = DictionaryCard.of(first)
    hooks = [_leaf(site)[1] for site in (card.site, card.site_out)]
    config = {
        "model_name": card.model,
        "model_kind": "transcoder_set",
        **dict(zip(_HOOKS, hooks, strict=True)),
    }
    activation = _ACTIVATIONS[first.cfg.architecture()]
    config |= {} if activation is None else {"activation": activation}
    config |= {"k": first.cfg.k} if activation == "topk" else {}
    (directory / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CorruptFile(f"{file} is not YAML: fetch it again") from error
    if not isinstance(config, dict):
        raise CorruptFile(f"{file} is no YAML mapping: fetch it again")
    if config.get("model_kind") != "transcoder_set":
        raise Unsupported(
            f"{file} is a {config.get('model_kind')!r}: only a transcoder_set, a transcoder for "
            "every layer, is read"
        )
    # The names become those of directories.
    if not all(re.fullmatch(r"\w+(\.\w+)*", str(config.get(hook) or "")) for hook in _HOOKS):
        raise CorruptFile(f"{file} names no hooks as {' and '.join(_HOOKS)}: fetch it again")
    return config


def _files(config: dict[str, Any], directory: Path) -> list[Path]:
    if "transcoders" not in config:
        count = len(list(directory.glob("layer_*.safetensors")))
        files = [directory / f"layer_{layer}.safetensors" for layer in range(count)]
    else:
        files = [_inside(str(name), directory) for name in config["transcoders"] or []]
    if not files:
        raise BadInput(f"{directory} holds no layer_0.safetensors: fetch the files of the set")
    return files


def _inside(name: str, directory: Path) -> Path:
    file = directory / name
    if "://" in name or not file.resolve().is_relative_to(directory.resolve()):
        raise Unsupported(
            f"{directory / CONFIG} names {name}: only files in the directory are read, put it there"
        )
    return file


def _architecture(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    kind = "skip_transcoder" if "W_skip" in tensors else "transcoder"
    if config.get("activation") in ("topk", "relu"):
        return f"topk_{kind}" if config["activation"] == "topk" else kind
    return f"jumprelu_{kind}" if _THRESHOLD in tensors else kind


def _k(config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    return int(tensors["k"]) if "k" in tensors else config.get("k")


def _thresholds(tensors: dict[str, Tensor], like: Tensor, file: Path) -> Tensor:
    threshold = full(taken(tensors, _THRESHOLD, file), like)
    below = int((threshold < 0).sum())
    if below:
        raise Unsupported(
            f"{file} has {below} thresholds below zero, where circuit-tracer lets negative "
            "activations through: sae-lens has no such dictionary"
        )
    return threshold


def _ordered(saes: Sequence[SAE[Any]]) -> list[SAE[Any]]:
    """By layer; every layer from 0 on once, all read and written at the same hooks."""
    by_layer: dict[int, SAE[Any]] = {}
    hooks = set()
    for sae in saes:
        if sae.cfg.architecture() not in _ACTIVATIONS:
            raise refused(sae, "circuit_tracer", list(_ACTIVATIONS))
        card = DictionaryCard.of(sae)
        (layer, leaf), (layer_out, leaf_out) = _leaf(card.site), _leaf(card.site_out)
        if layer != layer_out or layer in by_layer:
            raise Unsupported(
                f"circuit_tracer has one transcoder a layer: not one from {card.site} to "
                f"{card.site_out}{' more' * (layer in by_layer)}"
            )
        by_layer[layer] = sae
        hooks.add((leaf, leaf_out))
    if sorted(by_layer) != list(range(len(by_layer))) or len(hooks) != 1:
        raise Unsupported(
            f"circuit_tracer wants every layer from 0 on at one pair of hooks: these are layers "
            f"{', '.join(map(str, sorted(by_layer)))} at {len(hooks)} pairs"
        )
    return [by_layer[layer] for layer in sorted(by_layer)]


def _leaf(site: str | None) -> tuple[int, str]:
    match = _IN_BLOCK.fullmatch(site or "")
    if match is None:
        raise BadInput(
            f"circuit_tracer needs the block that a transcoder is of, this one is at {site}: "
            "set its sites when it is imported, with --site and --site-out"
        )
    return int(match[1]), match[2]


def _tensors(sae: SAE[Any]) -> dict[str, Tensor]:
    state = plain_state(sae, "circuit_tracer")
    state["W_enc"] = state["W_enc"].T
    if "threshold" in state:
        # There a negative pre-activation above its threshold passes, in sae-lens it is zero.
        state[_THRESHOLD] = state.pop("threshold").clamp(min=0)
    return contiguous(state)


FORMAT = Format(
    name="circuit_tracer",
    holds="sets of transcoders, one a layer: relu, topk or jumprelu, with a skip connection or not",
    recognises=recognises,
    read=read,
    write=write,
    is_set=True,
)
