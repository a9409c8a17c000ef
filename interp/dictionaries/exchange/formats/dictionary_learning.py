"""dictionary_learning: `ae.pt` and `config.json`, one directory a trainer.

`ae.pt` is a pickle, of which tensors alone are read. Weights are taken as they are stored; the
tool's own `AutoEncoder.from_pretrained` scales the decoder of its standard dictionaries to norm
one, and activations with it. BatchTopK and Matryoshka are used there with their threshold, so they
become `jumprelu`. A threshold that was never set is -1 there, and 0 here: the same activations.
"""

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sae_lens import SAE
from torch import Tensor

from interp.dictionaries.exchange.format import (
    KEY,
    Foreign,
    Format,
    contiguous,
    full,
    kept,
    one,
    plain_state,
    recalled,
    refused,
    sae_lens_config,
    taken,
)
from interp.dictionaries.files import read_json
from interp.results.atomic import write_json
from interp.results.errors import CorruptFile, Unsupported

WEIGHTS = "ae.pt"
CONFIG = "config.json"
_UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError)
_LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_BARE = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_GATES = {"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"}


class _Class(NamedTuple):
    architecture: str
    trained_as: str
    subtracts_bias: bool
    tensors: dict[str, str]
    """sae-lens's name -> theirs; what they call a weight is transposed."""


_CLASSES = {
    "AutoEncoder": _Class("standard", "standard", True, {**_LINEAR, "b_dec": "bias"}),
    "AutoEncoderNew": _Class("standard", "standard", False, {**_LINEAR, "b_dec": "decoder.bias"}),
    "AutoEncoderTopK": _Class("topk", "topk", True, {**_LINEAR, "b_dec": "b_dec"}),
    "BatchTopKSAE": _Class("jumprelu", "batchtopk", True, {**_LINEAR, "b_dec": "b_dec"}),
    "MatryoshkaBatchTopKSAE": _Class("jumprelu", "matryoshka_batchtopk", True, _BARE),
    "JumpReluAutoEncoder": _Class("jumprelu", "jumprelu", False, _BARE),
    "GatedAutoEncoder": _Class(
        "gated",
        "gated",
        True,
        {"W_enc": "encoder.weight", "W_dec": "decoder.weight", "b_dec": "decoder_bias", **_GATES},
    ),
}
_SITES = {
    "resid_post": "hook_resid_post",
    "attention_out": "hook_attn_out",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
}


def recognises(directory: Path) -> bool:
    """Whether both files are there."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def read(directory: Path) -> Iterator[Foreign]:
    """The dictionary, with what its trainer's settings say of model and layer."""
    config = read_json(directory / CONFIG)
    trainer, buffer = config.get("trainer"), config.get("buffer") or {}
    if not isinstance(trainer, dict) or not isinstance(buffer, dict):
        raise CorruptFile(f"{directory / CONFIG} has no trainer: fetch it again")
    if trainer.get("dict_class") not in _CLASSES:
        raise Unsupported(
            f"{directory} is a {trainer.get('dict_class')!r}: known are {', '.join(_CLASSES)}"
        )
    kind = _CLASSES[trainer["dict_class"]]
    file = directory / WEIGHTS
    tensors = _unpickled(file)
    state = {ours: _read(tensors, theirs, file) for ours, theirs in kind.tensors.items()}
    if kind.architecture == "jumprelu":
        state["threshold"] = full(taken(tensors, "threshold", file), state["b_enc"]).clamp(min=0)
    extra = {"k": _k(tensors, trainer, file)} if kind.architecture == "topk" else {}
    yield Foreign(
        name=directory.name,
        config=sae_lens_config(
            kind.architecture,
            state,
            apply_b_dec_to_input=kind.subtracts_bias,
            metadata={**_metadata(kind, trainer, buffer), **recalled(config)},
            extra=extra,
        ),
        state=contiguous(state),
        files=(directory / CONFIG, file),
    )


def write(saes: Sequence[SAE[Any]], directory: Path) -> None:
    """One autoencoder, as the class of theirs that computes the same."""
    sae = one(saes, "dictionary_learning")
    known = ("standard", "gated", "topk", "jumprelu")
    if sae.cfg.architecture() not in known:
        raise refused(sae, "dictionary_learning", known)
    state = plain_state(sae, "dictionary_learning")
    name, state = _theirs(sae, state)
    kind = _CLASSES[name]
    tensors = {theirs: _transposed(state[ours], theirs) for ours, theirs in kind.tensors.items()}
    k = getattr(sae.cfg, "k", None) or _trained_k(sae)
    if name in ("AutoEncoderTopK", "BatchTopKSAE"):
        tensors["k"] = torch.tensor(k, dtype=torch.int)
        tensors["threshold"] = torch.tensor(-1.0)
    if name == "BatchTopKSAE":
        tensors["threshold"] = state["threshold"][0]
    if name == "JumpReluAutoEncoder":
        tensors["threshold"] = state["threshold"]
    torch.save(contiguous(tensors), directory / WEIGHTS)
    write_json(directory / CONFIG, _config(sae, name, k))


def _unpickled(file: Path) -> dict[str, Any]:
    try:
        # Tensors only: weights_only refuses everything that a pickle could run.
        content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
    except _UNREADABLE as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else "it ends early"
        raise CorruptFile(
            f"{file} is truncated, or holds more than tensors ({said[:120]}): fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{file} is a pickled {type(content).__name__}, expected tensors by name")
    return content


def _read(tensors: dict[str, Any], name: str, file: Path) -> Tensor:
    return _transposed(taken(tensors, name, file), name)


def _transposed(tensor: Tensor, theirs: str) -> Tensor:
    return tensor.T if theirs.endswith(".weight") else tensor


def _k(tensors: dict[str, Any], trainer: dict[str, Any], file: Path) -> int:
    stored = int(tensors["k"]) if isinstance(tensors.get("k"), Tensor) else trainer.get("k")
    if not isinstance(stored, int) or trainer.get("k", stored) != stored:
        raise CorruptFile(f"{file} has k = {stored}, its config {trainer.get('k')}: fetch it again")
    return stored


def _metadata(kind: _Class, trainer: dict[str, Any], buffer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "training_architecture": kind.trained_as,
        "training_architecture_details": trainer,
    }
    if trainer.get("lm_name"):
        found["model_name"] = trainer["lm_name"]
    if buffer.get("ctx_len"):
        found["context_size"] = buffer["ctx_len"]
    place = str(trainer.get("submodule_name") or "").split("_layer_")[0]
    if place in _SITES and isinstance(trainer.get("layer"), int):
        found["hook_name"] = f"blocks.{trainer['layer']}.{_SITES[place]}"
    return found


def _theirs(sae: SAE[Any], state: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The class of theirs, and the tensors as it uses them."""
    architecture, subtracts = sae.cfg.architecture(), sae.cfg.apply_b_dec_to_input
    if architecture == "standard":
        return ("AutoEncoder" if subtracts else "AutoEncoderNew"), state
    if architecture == "jumprelu":
        return _jumprelu(sae, state)
    if not subtracts:
        raise Unsupported(
            f"dictionary_learning subtracts b_dec from the input of a {architecture!r} dictionary, "
            "this one does not"
        )
    return ("AutoEncoderTopK" if architecture == "topk" else "GatedAutoEncoder"), state


def _jumprelu(sae: SAE[Any], state: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """One threshold for all is a BatchTopKSAE; for thresholds of their own b_dec is folded in."""
    threshold = state["threshold"].clamp(min=0)
    state = {**state, "threshold": threshold}
    if not sae.cfg.apply_b_dec_to_input:
        return "JumpReluAutoEncoder", state
    if _trained_k(sae) is not None and bool((threshold == threshold[0]).all()):
        return "BatchTopKSAE", state
    shift = state["b_dec"] @ state["W_enc"]
    return "JumpReluAutoEncoder", {**state, "b_enc": state["b_enc"] - shift}


def _trained_k(sae: SAE[Any]) -> int | None:
    details = sae.cfg.metadata.training_architecture_details or {}
    k = details.get("k")
    return max(round(k), 1) if isinstance(k, int | float) else None


def _config(sae: SAE[Any], name: str, k: int | None) -> dict[str, Any]:
    card = kept(sae)
    parts = (card["site"] or "").split(".")
    trainer = {
        "dict_class": name,
        "trainer_class": None,
        "activation_dim": sae.cfg.d_in,
        "dict_size": sae.cfg.d_sae,
        "device": "cpu",
        "layer": int(parts[1]) if len(parts) > 2 and parts[1].isdecimal() else None,
        "lm_name": card["model"],
        "submodule_name": card["site"],
        **({} if k is None else {"k": k}),
    }
    return {"trainer": trainer, KEY: card}


FORMAT = Format(
    name="dictionary_learning",
    holds="standard, topk, batchtopk, jumprelu and gated autoencoders",
    recognises=recognises,
    read=read,
    write=write,
)
