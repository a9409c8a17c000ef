"""Format: how one tool lays its dictionaries out on disk, and what sae-lens has in their place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from sae_lens import SAE, __version__
from sae_lens.util import dtype_to_str
from safetensors.torch import load_file
from torch import Tensor

from interp.dictionaries.card import KEY as CARD_KEY
from interp.dictionaries.card import SCHEMA, DictionaryCard
from interp.models.weight_files import read_layout
from interp.results.errors import CorruptFile, Unsupported

KEY = "interp"
"""Under which an exported config keeps what the other tool has no word for."""


class Foreign(NamedTuple):
    """One dictionary of another tool, in sae-lens's words."""

    name: str
    """Of the directory it gets where there are several."""
    config: dict[str, Any]
    state: dict[str, Tensor]
    files: tuple[Path, ...]
    """What it was read from."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """Functions to know, to read and to write the directories of one tool."""

    name: str
    holds: str
    """What it can say, for the help of a command."""
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Foreign]]
    write: Callable[[Sequence[SAE[Any]], Path], None]
    """Into a directory that is there. Unsupported for what the format cannot say."""
    is_set: bool = False
    """A directory holds a dictionary for every layer."""


def sae_lens_config(
    architecture: str,
    state: Mapping[str, Shaped[Tensor, "..."]],
    *,
    apply_b_dec_to_input: bool,
    metadata: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The config of tensors under sae-lens's names. CorruptFile where they cannot be weights."""
    W_enc, W_dec = state["W_enc"], state["W_dec"]
    if W_enc.ndim != 2 or W_dec.ndim != 2 or not W_enc.is_floating_point():
        raise CorruptFile(
            f"the encoder is a {W_enc.dtype} of shape {list(W_enc.shape)}, the decoder of "
            f"{list(W_dec.shape)}: expected two matrices of floats"
        )
    widths = {"d_in": W_enc.shape[0], "d_sae": W_enc.shape[1]}
    if "transcoder" in architecture:
        widths["d_out"] = W_dec.shape[1]
    return {
        "architecture": architecture,
        **widths,
        "dtype": dtype_to_str(W_enc.dtype),
        "device": "cpu",
        "apply_b_dec_to_input": apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": __version__, **metadata},
        **(extra or {}),
    }


def read_tensors(file: Path) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors of a safetensors file; CorruptFile where it is missing or truncated."""
    if not file.is_file():
        raise CorruptFile(f"{file} is missing: fetch the directory again")
    read_layout(file)
    return load_file(file)


def taken(tensors: Mapping[str, Any], name: str, file: Path) -> Shaped[Tensor, "..."]:
    """One tensor by name; CorruptFile where it is not there, or not a tensor."""
    tensor = tensors.get(name)
    if not isinstance(tensor, Tensor):
        raise CorruptFile(
            f"{file} holds no tensor {name!r}: it holds {', '.join(map(str, tensors))}"
        )
    return tensor


def plain_state(sae: SAE[Any], format_name: str) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors of a dictionary that computes nothing beside them, under sae-lens's names.

    A selection by the decoder's norms is folded into the weights, which changes no output but its
    rounding. Unsupported where inputs are normalised: no other format here says how.
    """
    if sae.cfg.normalize_activations != "none":
        raise Unsupported(
            f"{format_name} cannot say that inputs are normalised by "
            f"{sae.cfg.normalize_activations!r}: train without, or export as sae_lens"
        )
    state = {name: tensor.detach().cpu() for name, tensor in sae.state_dict().items()}
    if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
        norm = state["W_dec"].norm(dim=-1)
        state["W_enc"] = state["W_enc"] * norm
        state["b_enc"] = state["b_enc"] * norm
        state["W_dec"] = state["W_dec"] / norm[:, None]
    return state


def kept(sae: SAE[Any]) -> dict[str, Any]:
    """What of a card goes into an exported config, for `recalled`."""
    card = DictionaryCard.of(sae)
    return {name: getattr(card, name) for name in ("site", "site_out", "model", "model_hash")}


def recalled(config: Mapping[str, Any]) -> dict[str, Any]:
    """sae-lens metadata from what `kept` left in a config; empty where another tool wrote it."""
    ours = config.get(KEY)
    if not isinstance(ours, dict):
        return {}
    names = {"site": "hook_name", "site_out": "hook_name_out", "model": "model_name"}
    found = {new: ours[old] for old, new in names.items() if ours.get(old) is not None}
    return {**found, CARD_KEY: {"schema": SCHEMA, "model_hash": ours.get("model_hash")}}


def one(saes: Sequence[SAE[Any]], format_name: str) -> SAE[Any]:
    """The only dictionary; Unsupported where a directory of the format holds one and more came."""
    if len(saes) != 1:
        raise Unsupported(f"a {format_name} directory holds one dictionary, not {len(saes)}")
    return saes[0]


def refused(sae: SAE[Any], format_name: str, known: Sequence[str]) -> Unsupported:
    """The error for an architecture that the format has no word for."""
    return Unsupported(
        f"{format_name} has no {sae.cfg.architecture()!r} dictionaries: it has {', '.join(known)}"
    )


def contiguous(state: Mapping[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """The same tensors, laid out as files want them."""
    return {name: tensor.contiguous() for name, tensor in state.items()}


def full(value: Shaped[Tensor, "..."], like: Shaped[Tensor, " d_sae"]) -> Shaped[Tensor, " d_sae"]:
    """One number for every feature, or the numbers as they are."""
    return torch.full_like(like, float(value)) if value.numel() == 1 else value
