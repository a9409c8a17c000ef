"""A model of two heads set by hand: one looks a token back, one at what followed the same token.

Its residual stream has a block for the token, one for the position, one for the token before and
one that the unembedding reads. All other heads see everything alike and write nothing.
"""

from pathlib import Path
from typing import Any

import torch

from tests.models import tiny_model

N = 48
"""Tokens, positions and entries of a block."""
PREVIOUS, INDUCTION = (0, 1), (1, 2)
_TOKEN, _POSITION, _BEFORE, _OUT = (slice(i * N, (i + 1) * N) for i in range(4))


def _from(block: slice, what: torch.Tensor) -> torch.Tensor:
    weight = torch.zeros(4 * N, N)
    weight[block] = what
    return weight


def write_planted(directory: Path) -> Path:
    """The model as a Hugging Face directory without a tokenizer."""
    specials = {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": None}
    sizes = {"n_embd": 4 * N, "n_layer": 2, "n_head": 4, "n_positions": N, "vocab_size": N}
    model: Any = tiny_model("gpt2", **sizes, **specials, tie_word_embeddings=False)
    one = torch.eye(N)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0)
        model.transformer.wte.weight[:, _TOKEN] = one
        model.transformer.wpe.weight[:, _POSITION] = one
        model.lm_head.weight[:, _OUT] = one
        back = 5 * one.roll(-1, dims=1)
        back[0] = 0
        _set(model, PREVIOUS, _from(_POSITION, back), _from(_POSITION, one), _BEFORE)
        _set(model, INDUCTION, _from(_TOKEN, 5 * one), _from(_BEFORE, one), _OUT)
    model.save_pretrained(directory)
    return directory


def _set(
    model: Any, head: tuple[int, int], query: torch.Tensor, key: torch.Tensor, into: slice
) -> None:
    attention = model.transformer.h[head[0]].attn
    for part, weight in enumerate((query, key, _from(_TOKEN, torch.eye(N)))):
        start = part * 4 * N + head[1] * N
        attention.c_attn.weight[:, start : start + N] = weight
    attention.c_proj.weight[head[1] * N : (head[1] + 1) * N] = _from(into, torch.eye(N)).T
