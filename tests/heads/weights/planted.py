"""A model whose four heads of layer 1 copy, count on, suppress and idle, by weights set by hand.

The residual stream has a block where the token is written one-hot and one that the unembedding
reads. Query and key of head 0, 1 and 3 match the same token, those of head 2 the token predicted.
"""

from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.models.load import load
from tests.models import tiny_model

N = 12
"""Tokens, and entries of a block."""
COPY, SHIFT, SUPPRESS, IDLE = 0, 1, 2, 3
_TOKEN, _OUT = slice(0, N), slice(N, 2 * N)
_NO_SPECIALS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def planted_bridge(style: str, directory: Path) -> TransformerBridge:
    """`gpt2` (a norm with centring, one key a head) or `llama` (none, two key-value heads)."""
    sizes: dict[str, Any] = {"n_embd": 4 * N, "n_layer": 2, "tie_word_embeddings": False}
    if style == "llama":
        sizes = {"hidden_size": 4 * N, "num_hidden_layers": 2}
    model = tiny_model(style, vocab_size=N, **sizes, **_NO_SPECIALS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.fill_(1.0 if norm else 0.0)
        (_set_gpt2 if style == "gpt2" else _set_llama)(model)
    model.save_pretrained(directory)
    return load(directory, device="cpu")


def _written() -> list[torch.Tensor]:
    """W_O of every head, [N, 4 N]: from the token of a value to the block that is unembedded."""
    one = torch.eye(N)
    maps = [one, one.roll(1, dims=1), -one, torch.zeros(N, N)]
    rows = []
    for each in maps:
        W_O = torch.zeros(N, 4 * N)
        W_O[:, _OUT] = each
        rows.append(W_O)
    return rows


def _read(block: slice, gain: float = 1.0) -> torch.Tensor:
    """[4 N, N]: a head's projection of one block of the residual stream."""
    W = torch.zeros(4 * N, N)
    W[block] = gain * torch.eye(N)
    return W


def _queries() -> list[torch.Tensor]:
    return [_read(_OUT if head == SUPPRESS else _TOKEN, 30.0) for head in range(4)]


def _set_vocabulary(embedding: torch.nn.Embedding, unembedding: torch.nn.Linear) -> None:
    embedding.weight[:, _TOKEN] = torch.eye(N)
    unembedding.weight[:, _OUT] = torch.eye(N)


def _set_gpt2(model: Any) -> None:
    attention = model.transformer.h[1].attn
    keys, values = [_read(_TOKEN)] * 4, [_read(_TOKEN)] * 4
    attention.c_attn.weight.copy_(torch.cat([*_queries(), *keys, *values], dim=1))
    attention.c_proj.weight.copy_(torch.cat(_written()))
    _set_vocabulary(model.transformer.wte, model.lm_head)


def _set_llama(model: Any) -> None:
    attention = model.model.layers[1].self_attn
    attention.q_proj.weight.copy_(torch.cat(_queries(), dim=1).T)
    shared = torch.cat([_read(_TOKEN)] * 2, dim=1).T
    attention.k_proj.weight.copy_(shared)
    attention.v_proj.weight.copy_(shared)
    attention.o_proj.weight.copy_(torch.cat(_written()).T)
    _set_vocabulary(model.model.embed_tokens, model.lm_head)
