"""Greedy decoding that notes where every head looks most while it writes each token."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.evaluation.scoring import only_last
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.retrieval.haystack import Haystack
from interp.interventions.running import watched

Advance = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a model wrote after one haystack, up to an end token, and where its heads looked."""

    haystack: Haystack
    written: Int[np.ndarray, " steps"]
    looked: Int[np.ndarray, "steps n_layers n_heads"]
    """The most attended position when each token was written; beyond the prompt it is a written
    token's."""

    @property
    def tokens(self) -> Int[np.ndarray, " pos"]:
        """The prompt and what was written."""
        return np.concatenate([self.haystack.tokens, self.written])


@torch.no_grad()
def decode(
    geometry: HeadGeometry,
    haystacks: Sequence[Haystack],
    *,
    max_new_tokens: int,
    ends: Collection[int] = (),
    batch_size: int = 8,
    advance: Advance = lambda *_: None,
) -> list[Decoded]:
    """Greedy continuations, in order; of haystacks of one length `batch_size` go together.

    The prompt is read once without hooks; every token after it costs one position, and only the
    patterns of that position are looked at.
    """
    found: dict[int, Decoded] = {}
    by_length: dict[int, list[int]] = {}
    for number, haystack in enumerate(haystacks):
        by_length.setdefault(len(haystack.tokens), []).append(number)
    for same in by_length.values():
        for start in range(0, len(same), batch_size):
            chosen = same[start : start + batch_size]
            rows = [haystacks[number] for number in chosen]
            one_batch = _decode_batch(geometry, rows, max_new_tokens, frozenset(ends))
            found |= dict(zip(chosen, one_batch, strict=True))
            advance(len(chosen))
    return [found[number] for number in range(len(haystacks))]


def _decode_batch(
    geometry: HeadGeometry, rows: Sequence[Haystack], max_new_tokens: int, ends: frozenset[int]
) -> list[Decoded]:
    model: Any = geometry.bridge.original_model
    tokens = torch.from_numpy(np.stack([row.tokens for row in rows])).to(geometry.device)
    first = model(input_ids=tokens[:, :-1], use_cache=True, **only_last(model, 1))
    cache, last = first.past_key_values, tokens[:, -1:]
    written: list[np.ndarray] = []
    looked: list[np.ndarray] = []
    for _ in range(max_new_tokens):
        seen: dict[int, Tensor] = {}
        with watched(_lookers(geometry, seen)):
            output = model(input_ids=last, past_key_values=cache, use_cache=True)
        last = output.logits[:, -1:].argmax(-1)
        cache = output.past_key_values
        written.append(last[:, 0].cpu().numpy())
        stacked = torch.stack([seen[layer] for layer in range(geometry.n_layers)], dim=1)
        looked.append(stacked.cpu().numpy())
        if all(any(int(step[row]) in ends for step in written) for row in range(len(rows))):
            break
    return [
        _of_row(row, np.stack(written)[:, i], np.stack(looked)[:, i], ends)
        for i, row in enumerate(rows)
    ]


def _lookers(geometry: HeadGeometry, seen: dict[int, Tensor]) -> list[tuple[Any, Any]]:
    points = geometry.bridge.hook_dict

    def look(layer: int, pattern: Float[Tensor, "batch n_heads query key"]) -> None:
        seen[layer] = pattern[:, :, -1].argmax(-1)

    return [
        (points[geometry.pattern_site(layer)], partial(look, layer))
        for layer in range(geometry.n_layers)
    ]


def _of_row(
    row: Haystack,
    written: Int[np.ndarray, " steps"],
    looked: Int[np.ndarray, "steps n_layers n_heads"],
    ends: frozenset[int],
) -> Decoded:
    stops = [step for step, token in enumerate(written.tolist()) if token in ends]
    n = stops[0] if stops else len(written)
    return Decoded(haystack=row, written=written[:n], looked=looked[:n])
