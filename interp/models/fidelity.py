"""How far a bridge is from plain transformers, with eager and with sdpa attention.

The reference is a second model object of the same class that shares the bridge's weights, so it
costs no memory to speak of. Sequences are compared padded on the right and on the left.
"""

import copy
import inspect
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from interp.results.errors import BadInput

Outputs = dict[str, list[Tensor]]
_SIDES = ("right", "left")
_WRAPPED = "._original_component"

# Stack of blocks -> where transformers returns the stream before each of them.
_STREAMS = {
    "blocks": "hidden_states",
    "encoder_blocks": "encoder_hidden_states",
    "decoder_blocks": "decoder_hidden_states",
}


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Largest absolute differences, over real tokens only, by the side of the padding."""

    logits: dict[str, float]
    """Against eager attention, which the bridge uses."""
    stream: dict[str, float]
    """The residual stream before every block, against eager attention."""
    logits_sdpa: dict[str, float] | None
    """Against transformers' default attention, which differs by rounding; None without one."""
    largest_logit: float
    """Absolute; what the differences are to be measured by."""
    n_sequences: int
    n_tokens: int
    dtype: str
    against: str = "eager"

    @property
    def max_abs_difference(self) -> float:
        """The largest difference from eager attention, logits and stream; NaN if any is NaN."""
        # Not the built-in max, which passes over a NaN that comes second.
        return float(np.max([*self.logits.values(), *self.stream.values()]))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "max_abs_difference": self.max_abs_difference}


def check_fidelity(
    bridge: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
) -> Fidelity:
    """Compare `bridge` with plain transformers on the first two sequences.

    Where neither is padded, the second is cut to half, so that padding is always exercised.
    """
    lengths = _lengths(tokens[:2], None if attention_mask is None else attention_mask[:2])
    padded = {side: _pad(tokens[:2], lengths, side) for side in _SIDES}
    ours: dict[str, Outputs] = {side: _of_bridge(bridge, *batch) for side, batch in padded.items()}
    eager: dict[str, Outputs] = {
        side: _of_twin(bridge, "eager", *batch) for side, batch in padded.items()
    }
    sdpa: dict[str, Outputs] | None = None
    if getattr(bridge.original_model, "_supports_sdpa", False):
        sdpa = {side: _of_twin(bridge, "sdpa", *batch) for side, batch in padded.items()}

    def worst(name: str, theirs: dict[str, Outputs]) -> dict[str, float]:
        return {s: _difference(ours[s][name], theirs[s][name], padded[s][1]) for s in _SIDES}

    return Fidelity(
        logits=worst("logits", eager),
        stream=worst("stream", eager),
        logits_sdpa=worst("logits", sdpa) if sdpa else None,
        largest_logit=float(ours["right"]["logits"][0].abs().max()),
        n_sequences=len(lengths),
        n_tokens=sum(lengths),
        dtype=str(bridge.cfg.dtype).removeprefix("torch."),
    )


def _lengths(tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"] | None) -> list[int]:
    n_pos = tokens.shape[1]
    if not len(tokens) or not n_pos:
        raise BadInput("there is no sequence to compare the model on")
    lengths = [n_pos] * len(tokens) if mask is None else [int(n) for n in mask.sum(dim=1)]
    if all(n == n_pos for n in lengths):
        lengths[-1] = max(n_pos // 2, 1)
    return lengths


def _pad(
    tokens: Int[Tensor, "batch pos"], lengths: list[int], side: str
) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
    """`tokens`, of which the first `lengths` are real, padded on `side`, and the mask."""
    padded, mask = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
    for row, n in enumerate(lengths):
        place = slice(0, n) if side == "right" else slice(tokens.shape[1] - n, None)
        padded[row, place] = tokens[row, :n]
        mask[row, place] = True
    return padded, mask


@torch.no_grad()
def _of_bridge(
    bridge: TransformerBridge, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"]
) -> Outputs:
    wanted = [
        f"{stack}.{i}.hook_resid_pre" for stack in _STREAMS for i in range(bridge.cfg.n_layers)
    ]
    hooks = bridge.hook_dict
    names = [name for name in wanted if name in hooks]
    place = bridge.cfg.device
    logits, cache = bridge.run_with_cache(
        tokens.to(place), attention_mask=mask.long().to(place), names_filter=names
    )
    return {"logits": [logits], "stream": [cache[name] for name in names]}


@torch.no_grad()
def _of_twin(
    bridge: TransformerBridge,
    attention: str,
    tokens: Int[Tensor, "batch pos"],
    mask: Bool[Tensor, "batch pos"],
) -> Outputs:
    twin = plain_twin(bridge, attention=attention)
    inputs = {"input_ids": tokens, "attention_mask": mask.long()}
    if "position_ids" in inspect.signature(twin.forward).parameters:
        inputs["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    if twin.config.is_encoder_decoder:
        start = torch.full_like(tokens[:, :1], twin.config.decoder_start_token_id)
        inputs["decoder_input_ids"] = torch.cat([start, tokens[:, :-1]], dim=1)
    inputs = {name: value.to(bridge.cfg.device) for name, value in inputs.items()}
    output = twin(**inputs, output_hidden_states=True)
    streams = [getattr(output, name, None) or () for name in _STREAMS.values()]
    # The last of each is after the final norm, which is no block's input.
    return {"logits": [output.logits], "stream": [x for s in streams for x in s[:-1]]}


def plain_twin(bridge: TransformerBridge, *, attention: str) -> PreTrainedModel:
    """The bridge's model as transformers alone runs it, sharing its weights."""
    wrapped: Any = bridge.original_model
    config = copy.deepcopy(wrapped.config)
    with torch.device("meta"):
        twin = type(wrapped)._from_config(config, attn_implementation=attention)
    tensors = {
        name.replace(_WRAPPED, ""): tensor
        for source in (wrapped.named_parameters, wrapped.named_buffers)
        for name, tensor in source(remove_duplicate=False)
    }
    for source in (twin.named_parameters, twin.named_buffers):
        for name, _ in list(source(remove_duplicate=False)):
            path, _, leaf = name.rpartition(".")
            setattr(twin.get_submodule(path), leaf, tensors[name])
    return twin.eval()


def _difference(ours: list[Tensor], theirs: list[Tensor], mask: Bool[Tensor, "batch pos"]) -> float:
    """Largest absolute difference over real tokens; NaN if either holds a NaN."""
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        real = mask.to(mine.device)
        gap: Float[Tensor, " n"] = (mine.float() - other.float())[real].abs().flatten()
        worst = max(worst, float(gap.max())) if not gap.isnan().any() else float("nan")
        if worst != worst:
            return worst
    return worst
