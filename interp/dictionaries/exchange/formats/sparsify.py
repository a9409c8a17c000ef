"""eai-sparsify: `sae.safetensors` and `cfg.json`, a directory a hook point.

An autoencoder subtracts b_dec from its input, a transcoder does not (sparsify 1.3.3,
`SparseCoder.encode`); both keep the k largest of relu(W x + b), or the largest of each of k
groups. sae-lens's converter transposes the decoder and ties the subtraction to the normalisation
of the decoder, so it is not used.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sae_lens import SAE
from safetensors.torch import save_file

from interp.dictionaries.exchange.format import (
    KEY,
    Foreign,
    Format,
    contiguous,
    kept,
    one,
    plain_state,
    read_tensors,
    recalled,
    refused,
    sae_lens_config,
    taken,
)
from interp.dictionaries.files import read_json
from interp.results.atomic import write_json
from interp.results.errors import CorruptFile, Unsupported

WEIGHTS = "sae.safetensors"
CONFIG = "cfg.json"
_LAYER = re.compile(r"(?:.*\.)?(?:layers|layer|h|blocks)[._](\d+)(?:\.(\w+))?")
_MLP = ("mlp", "feed_forward", "ffn")
_ATTENTION = ("attn", "self_attn", "attention")
_WRITTEN = {
    "topk": ("topk", False, False),
    "groupmax": ("groupmax", False, False),
    "topk_transcoder": ("topk", True, False),
    "groupmax_transcoder": ("groupmax", True, False),
    "topk_skip_transcoder": ("topk", True, True),
    "groupmax_skip_transcoder": ("groupmax", True, True),
}
"""Architecture -> activation, transcode, skip_connection."""
_NAMES = {
    "W_enc": "encoder.weight",
    "b_enc": "encoder.bias",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
}


def recognises(directory: Path) -> bool:
    """Whether both files are there."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def read(directory: Path) -> Iterator[Foreign]:
    """The dictionary, its site as far as the name of the directory tells it."""
    config = read_json(directory / CONFIG)
    file = directory / WEIGHTS
    tensors = read_tensors(file)
    architecture = _architecture(config, directory)
    state = {ours: taken(tensors, theirs, file) for ours, theirs in _NAMES.items()}
    state["W_enc"] = state["W_enc"].T
    if "skip" in architecture:
        state["W_skip"] = taken(tensors, "W_skip", file)
    extra = {"k": config.get("k", 32), **_widths(config, directory)}
    transcodes = "transcoder" in architecture
    yield Foreign(
        name=directory.name,
        config=sae_lens_config(
            architecture,
            state,
            apply_b_dec_to_input=not transcodes,
            metadata={**_metadata(directory, transcodes), **recalled(config)},
            extra=extra,
        ),
        state=contiguous(state),
        files=(directory / CONFIG, file),
    )


def write(saes: Sequence[SAE[Any]], directory: Path) -> None:
    """One autoencoder that subtracts b_dec, or one transcoder between equal widths."""
    sae = one(saes, "sparsify")
    name = sae.cfg.architecture()
    if name not in _WRITTEN:
        raise refused(sae, "sparsify", list(_WRITTEN))
    activation, transcode, skip = _WRITTEN[name]
    d_in, d_sae = sae.cfg.d_in, sae.cfg.d_sae
    if transcode and sae.cfg.d_out != d_in:
        raise Unsupported(
            f"sparsify transcodes between equal widths, not {d_in} and {sae.cfg.d_out}"
        )
    if not transcode and not sae.cfg.apply_b_dec_to_input:
        raise Unsupported("sparsify subtracts b_dec from the input, this dictionary does not")
    state = plain_state(sae, "sparsify")
    tensors = {theirs: state[ours] for ours, theirs in _NAMES.items()}
    tensors["encoder.weight"] = tensors["encoder.weight"].T
    if skip:
        tensors["W_skip"] = state["W_skip"]
    save_file(contiguous(tensors), directory / WEIGHTS)
    config = {
        "activation": activation,
        "expansion_factor": max(d_sae // d_in, 1),
        "normalize_decoder": False,
        "num_latents": d_sae,
        "k": sae.cfg.k,
        "multi_topk": False,
        "skip_connection": skip,
        "transcode": transcode,
        "d_in": d_in,
    }
    write_json(directory / CONFIG, {**config, KEY: kept(sae)})


def _architecture(config: dict[str, Any], directory: Path) -> str:
    activation = config.get("activation", "topk")
    transcode, skip = config.get("transcode", False), config.get("skip_connection", False)
    if activation not in ("topk", "groupmax") or config.get("signed"):
        what = "signed features" if config.get("signed") else f"the activation {activation!r}"
        raise Unsupported(f"{directory} has {what}: known are topk and groupmax, unsigned")
    if skip and not transcode:
        raise Unsupported(
            f"{directory} is an autoencoder with a skip connection: sae-lens has one for "
            "transcoders only"
        )
    return activation + "_skip" * bool(skip) + "_transcoder" * bool(transcode)


def _widths(config: dict[str, Any], directory: Path) -> dict[str, int]:
    try:
        d_in = config["d_in"]
        return {
            "d_in": d_in,
            "d_sae": config.get("num_latents") or d_in * config["expansion_factor"],
        }
    except (KeyError, TypeError) as error:
        raise CorruptFile(f"{directory / CONFIG} lacks or garbles {error}") from error


def _metadata(directory: Path, transcodes: bool) -> dict[str, Any]:
    run = directory.parent / "config.json"
    named = read_json(run) if run.is_file() else {}
    found: dict[str, Any] = {"model_name": named["model"]} if "model" in named else {}
    if "ctx_len" in named:
        found["context_size"] = named["ctx_len"]
    site, site_out = _sites(directory.name, transcodes)
    found |= {} if site is None else {"hook_name": site}
    return found if site_out is None else {**found, "hook_name_out": site_out}


def _sites(name: str, transcodes: bool) -> tuple[str | None, str | None]:
    """Hook names of a module's output, or of its input and output; None where not known."""
    match = _LAYER.fullmatch(name)
    if match is None:
        return ("hook_embed", None) if name == "embed_tokens" and not transcodes else (None, None)
    block, module = f"blocks.{match[1]}", match[2]
    if module in _MLP and transcodes:
        return f"{block}.mlp.hook_in", f"{block}.hook_mlp_out"
    if transcodes:
        return None, None
    outputs = {None: "hook_resid_post"}
    outputs |= dict.fromkeys(_MLP, "hook_mlp_out") | dict.fromkeys(_ATTENTION, "hook_attn_out")
    return (f"{block}.{outputs[module]}", None) if module in outputs else (None, None)


FORMAT = Format(
    name="sparsify",
    holds="topk and groupmax autoencoders, transcoders and skip transcoders",
    recognises=recognises,
    read=read,
    write=write,
)
