"""A model with one function-vector head, by weights set by hand.

Every input x_i has two outputs, a_i and b_i, and b_i is a little likelier. Head 0 of layer 0 marks
an output that follows its own input (a_i after x_i). Head 1 of layer 1 carries the share of marked
outputs to the last token, where it raises all a: the task is "say a". No other head writes.
"""

from pathlib import Path
from typing import Any

import torch

from interp.heads.function_vectors.tasks import Pair, Task
from tests.models import tiny_model, write_tokenizer

N = 12
"""Inputs; outputs of either kind."""
MARKER, CARRIER = (0, 0), (1, 1)
TEMPLATE = "{input} {output} "
_VOCABULARY, _POSITIONS, _BOS, _HEAD, _FIRST = 4 + 3 * N, 20, 1, 64, 4
_TOKEN = slice(0, _VOCABULARY)
_POSITION = slice(_VOCABULARY, _VOCABULARY + _POSITIONS)
_MARK, _SAY_A = _POSITION.stop, _POSITION.stop + 1
_X, _A, _B = (slice(_FIRST + i * N, _FIRST + (i + 1) * N) for i in range(3))
_SINK = _POSITIONS + N


def the_task() -> Task:
    """Input x_i, output a_i."""
    pairs = (Pair(f"w{_X.start + i}", f"w{_A.start + i}") for i in range(N))
    return Task(name="say a", pairs=tuple(pairs))


def write_planted(directory: Path) -> Path:
    """The model and its tokenizer as a Hugging Face directory."""
    sizes = {"n_embd": 4 * _HEAD, "n_layer": 2, "n_head": 4, "n_positions": _POSITIONS}
    model: Any = tiny_model("gpt2", **sizes, vocab_size=_VOCABULARY, tie_word_embeddings=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0)
        model.transformer.wte.weight[:, _TOKEN] = torch.eye(_VOCABULARY)
        model.transformer.wpe.weight[:, _POSITION] = torch.eye(_POSITIONS)
        model.lm_head.weight[_A, _X] = 0.8 * torch.eye(N)
        model.lm_head.weight[_B, _X] = 1.0 * torch.eye(N)
        model.lm_head.weight[_A, _SAY_A] = 0.8
        _set(model, MARKER, *_marker())
        _set(model, CARRIER, *_carrier())
    model.save_pretrained(directory)
    write_tokenizer(directory, d_vocab=_VOCABULARY, adds_bos=True)
    return directory


def _marker() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Looks at the token before if it is its own input, else at BOS, and marks the former.

    The place and the pair each give as much; BOS gives one and a half of it.
    """
    query, key, value, into = _blank()
    back = torch.eye(_POSITIONS).roll(-1, dims=1)
    back[0] = 0
    query[_POSITION, :_POSITIONS] = back
    key[_POSITION, :_POSITIONS] = torch.eye(_POSITIONS)
    query[_A, _POSITIONS:_SINK] = torch.eye(N)
    key[_X, _POSITIONS:_SINK] = torch.eye(N)
    query[_TOKEN, _SINK], key[_BOS, _SINK] = 1.5, 1.0
    value[_X, 0], into[0, _MARK] = 0.1, 1.0
    return query, key, value, into


def _carrier() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Looks at all outputs alike, and says a for each that is marked."""
    query, key, value, into = _blank()
    query[_TOKEN, 0], key[_A, 0], key[_B, 0] = 2.0, 1.0, 1.0
    value[_MARK, 0], into[0, _SAY_A] = 0.1, 1.0
    return query, key, value, into


def _blank() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    query, key, value = (torch.zeros(4 * _HEAD, _HEAD) for _ in range(3))
    return query, key, value, torch.zeros(_HEAD, 4 * _HEAD)


def _set(
    model: Any,
    head: tuple[int, int],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    into: torch.Tensor,
) -> None:
    attention = model.transformer.h[head[0]].attn
    for part, weight in enumerate((query, key, value)):
        start = part * 4 * _HEAD + head[1] * _HEAD
        attention.c_attn.weight[:, start : start + _HEAD] = weight
    attention.c_proj.weight[head[1] * _HEAD : (head[1] + 1) * _HEAD] = into
