"""Generation: what a model says after each prompt, greedily, many prompts at a time.

Prompts are padded on the left, so that every row goes on at the same place; keys and values of
what was read are kept, so that a new token costs one position.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.evaluation.scoring import only_last
from interp.models.examples import encode_prompts
from interp.results.errors import BadInput

Advance = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """What was said after one prompt."""

    text: str
    """Up to the end of text or the first stop, neither included."""
    truncated: bool
    """Whether the allowed tokens were spent before either came."""


def generate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    batch_size: int = 64,
    advance: Advance = lambda *_: None,
) -> list[Generated]:
    """The greedy continuation of every prompt, in order.

    A text ends at a token that the model ends texts with, or before the first `stop` in it. Raises
    BadInput if neither can come, for a prompt without a token, or for one that leaves no room.
    """
    ends = end_tokens(model, tokenizer)
    if not ends and not any(stop):
        raise BadInput(
            "the model has no end-of-text token, so what it says never ends: give a stop, or score "
            "by the likeliest tokens (rule greedy) or by choice"
        )
    encoded = encode_prompts(prompts, tokenizer)
    _check_room(model, prompts, encoded, max_new_tokens)
    said: list[Generated | None] = [None] * len(encoded)
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        rows = [encoded[number] for number in chosen]
        speech = _Speech(tokenizer, ends=ends, stop=[text for text in stop if text])
        for number, one in zip(chosen, speech.of(model, rows, max_new_tokens), strict=True):
            said[number] = one
        advance(len(chosen))
    return [one for one in said if one is not None]


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that end a text, by the tokenizer, the config and the generation settings."""
    settings = getattr(model, "generation_config", None)
    named = [
        tokenizer.eos_token_id,
        getattr(model.config, "eos_token_id", None),
        getattr(settings, "eos_token_id", None),
    ]
    ids = (entry if isinstance(entry, list | tuple) else [entry] for entry in named)
    return frozenset(int(number) for group in ids for number in group if number is not None)


class _Speech:
    """Rows of tokens as they grow, and which of them have ended."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, ends: Collection[int], stop: Sequence[str]
    ) -> None:
        self.tokenizer = tokenizer
        self.ends = ends
        self.stop = stop

    @torch.no_grad()
    def of(self, model: Any, rows: Sequence[list[int]], max_new_tokens: int) -> list[Generated]:
        tokens, seen = _left_padded(rows)
        device = next(model.parameters()).device
        tokens, seen = tokens.to(device), seen.to(device)
        position = (seen.cumsum(1) - 1).clamp(min=0)
        said: list[list[int]] = [[] for _ in rows]
        ended = np.zeros(len(rows), dtype=bool)
        cache = None
        for _ in range(max_new_tokens):
            output = model(
                input_ids=tokens,
                attention_mask=seen,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
                **only_last(model, 1),
            )
            likeliest = output.logits[:, -1].argmax(-1)
            self._append(likeliest.tolist(), said, ended)
            if ended.all():
                break
            cache = output.past_key_values
            tokens, position = likeliest[:, None], position[:, -1:] + 1
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
        return [self._heard(ids, bool(end)) for ids, end in zip(said, ended, strict=True)]

    def _append(
        self, likeliest: list[int], said: list[list[int]], ended: Bool[np.ndarray, " rows"]
    ) -> None:
        for row in np.flatnonzero(~ended):
            if likeliest[row] in self.ends:
                ended[row] = True
                continue
            said[row].append(likeliest[row])
            ended[row] = self._stop_in(self._text(said[row])) is not None

    def _heard(self, ids: list[int], ended: bool) -> Generated:
        text = self._text(ids)
        return Generated(text=text[: self._stop_in(text)], truncated=not ended)

    def _text(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def _stop_in(self, text: str) -> int | None:
        """Where the first stop begins; None without one, which as the end of a slice cuts none."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return min(places, default=None)


def _left_padded(
    rows: Sequence[list[int]],
) -> tuple[Int[Tensor, "rows pos"], Int[Tensor, "rows pos"]]:
    """Token ids with 0 before the shorter rows, and 1 where a token of the row stands."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return tokens, seen


def _check_room(
    model: Any, prompts: Sequence[str], encoded: Sequence[list[int]], max_new_tokens: int
) -> None:
    if max_new_tokens < 1:
        raise BadInput(f"{max_new_tokens} tokens to say an answer in: give at least 1")
    room = getattr(model.config, "max_position_embeddings", None)
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise BadInput(f"the prompt {prompt[:40]!r} has no token")
        if room is not None and len(ids) + max_new_tokens > room:
            raise BadInput(
                f"a prompt of {len(ids)} tokens and {max_new_tokens} of answer do not fit into the "
                f"{room} positions of the model: allow fewer. It starts {prompt[:40]!r}"
            )
