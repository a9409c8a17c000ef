"""Answering: put items to one model under a protocol, and keep what it says to each."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from torch import nn
from transformers import PreTrainedTokenizerBase

from interp.evaluation.answers import Answers
from interp.evaluation.generation import generate
from interp.evaluation.items import Item
from interp.evaluation.protocol import Protocol
from interp.evaluation.scoring import (
    EncodedItems,
    continuation_log_probability,
    encode_items,
    likeliest_tokens,
)
from interp.results.errors import BadInput

Advance = Callable[..., None]


def answer_items(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    protocol: Protocol,
    *,
    batch_size: int = 256,
    advance: Advance = lambda *_: None,
) -> Answers:
    """What the model answers to every item, in order.

    `batch_size` rows go through the model at a time: prompts, or prompts with one choice each.
    `advance` is told how many items are done. Raises BadInput for an item that cannot be asked
    under the protocol.
    """
    check_askable(items, protocol)
    if protocol.rule == "generate":
        return _generated(model, tokenizer, items, protocol, batch_size, advance)
    rule = "choice" if protocol.is_choice else "greedy"
    encoded = encode_items(items, tokenizer, rule=rule, batch_size=batch_size)
    if protocol.is_choice:
        return _chosen(model, items, encoded, protocol, advance)
    return _likeliest(model, tokenizer, encoded, advance)


def check_askable(items: Sequence[Item], protocol: Protocol) -> None:
    """Raise BadInput for an item that has no right answer under the protocol."""
    for item in items:
        if protocol.is_choice and len(set(item.choices)) < 2:
            raise BadInput(f"item {item.id!r} has no choices: score it by another rule")
        if protocol.rule == "generate" and not protocol.normaliser(item.answer):
            raise BadInput(f"item {item.id!r}: nothing is left of {item.answer!r} once normalised")


def _generated(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    protocol: Protocol,
    batch_size: int,
    advance: Advance,
) -> Answers:
    said = generate(
        model,
        tokenizer,
        [item.prompt for item in items],
        max_new_tokens=protocol.max_new_tokens,
        stop=protocol.stop,
        batch_size=batch_size,
        advance=advance,
    )
    same = protocol.normaliser
    correct = [
        same(one.text) == same(item.answer) and not one.truncated
        for one, item in zip(said, items, strict=True)
    ]
    return Answers(
        correct=np.array(correct, dtype=bool),
        said=tuple(one.text for one in said),
        truncated=np.array([one.truncated for one in said], dtype=bool),
        margin=_unknown(len(items)),
        margin_per_byte=_unknown(len(items)),
    )


def _chosen(
    model: nn.Module,
    items: Sequence[Item],
    encoded: EncodedItems,
    protocol: Protocol,
    advance: Advance,
) -> Answers:
    widest = max(len(item.choices) for item in items)
    score = np.full((len(items), widest), -np.inf)
    n_bytes = np.ones((len(items), widest))
    is_answer = np.zeros((len(items), widest), dtype=bool)
    for number, item in enumerate(items):
        n_bytes[number, : len(item.choices)] = [len(c.encode()) for c in item.choices]
        is_answer[number, : len(item.choices)] = [c == item.answer for c in item.choices]
    for batch in encoded.batches:
        score[batch.item, batch.continuation] = continuation_log_probability(model, batch)
        advance(int(batch.is_answer.sum()))
    per_byte = score / n_bytes
    margin = _margin(score, is_answer)
    margin_per_byte = _margin(per_byte, is_answer)
    by_sum = protocol.rule == "choice"
    taken = (score if by_sum else per_byte).argmax(1)
    return Answers(
        correct=(margin if by_sum else margin_per_byte) > 0,
        said=tuple(item.choices[place] for item, place in zip(items, taken, strict=True)),
        truncated=np.zeros(len(items), dtype=bool),
        margin=margin,
        margin_per_byte=margin_per_byte,
    )


def _margin(
    score: Float[np.ndarray, "items choices"], is_answer: np.ndarray
) -> Float[np.ndarray, " items"]:
    """Score of the answer less the best of the others."""
    right = np.where(is_answer, score, -np.inf).max(1)
    return right - np.where(is_answer, -np.inf, score).max(1)


def _likeliest(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    encoded: EncodedItems,
    advance: Advance,
) -> Answers:
    n = encoded.n_items
    correct = np.zeros(n, dtype=bool)
    said = [""] * n
    for batch in encoded.batches:
        tokens = likeliest_tokens(model, batch)
        hit = (tokens == batch.tokens[:, -batch.n_answer :]).long()
        # Every token before the first miss is right; after it the model read other words.
        known = (hit.cumprod(1).sum(1) + 1).clamp(max=batch.n_answer).tolist()
        correct[batch.item] = hit.all(1).numpy()
        for item, row, n_known in zip(batch.item.tolist(), tokens.tolist(), known, strict=True):
            said[item] = str(tokenizer.decode(row[:n_known], clean_up_tokenization_spaces=False))
        advance(len(batch.item))
    return Answers(
        correct=correct,
        said=tuple(said),
        truncated=np.zeros(n, dtype=bool),
        margin=_unknown(n),
        margin_per_byte=_unknown(n),
    )


def _unknown(n: int) -> Float[np.ndarray, " items"]:
    return np.full(n, np.nan)
