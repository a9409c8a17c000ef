"""Scoring: which items a model gets right, as single answers with their ids."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.evaluation.items import Item
from interp.models.examples import encode_answers, encode_prompts
from interp.results.errors import BadInput

Rule = Literal["greedy", "choice"]


@dataclass(frozen=True, kw_only=True)
class EncodedItems:
    """Items as token ids, ready to be scored by any model with the same tokenizer.

    A row is one prompt with one continuation, the answer or a choice; rows of one length lie
    together, so nothing is padded.
    """

    n_items: int
    batches: tuple["RowBatch", ...]


@dataclass(frozen=True, kw_only=True)
class RowBatch:
    """Rows of one prompt length and one continuation length."""

    tokens: Int[Tensor, "rows pos"]
    n_answer: int
    """How many tokens at the end are the continuation."""
    item: Int[np.ndarray, " rows"]
    """Which item each row belongs to."""
    is_answer: Bool[np.ndarray, " rows"]
    """Whether the continuation is the right answer."""
    continuation: Int[np.ndarray, " rows"]
    """Which of the item's continuations it is: 0, or its place among the choices."""


def encode_items(
    items: Sequence[Item],
    tokenizer: PreTrainedTokenizerBase,
    *,
    rule: Rule = "greedy",
    batch_size: int = 512,
) -> EncodedItems:
    """Token ids of every item: prompt and answer, and under `choice` every choice.

    Raises BadInput for an item without choices under `choice`, and one with no token in its prompt
    or answer.
    """
    rows = [
        (number, continuation, place)
        for number, item in enumerate(items)
        for place, continuation in enumerate(_continuations(item, rule))
    ]
    prompts = encode_prompts([item.prompt for item in items], tokenizer)
    answers = encode_answers([continuation for _, continuation, _ in rows], tokenizer)
    right = [continuation == items[number].answer for number, continuation, _ in rows]
    by_length: dict[tuple[int, int], list[int]] = {}
    for row, answer in enumerate(answers):
        prompt = prompts[rows[row][0]]
        if not prompt or not answer:
            raise BadInput(f"item {items[rows[row][0]].id!r} has no token in prompt or answer")
        by_length.setdefault((len(prompt), len(answer)), []).append(row)
    batches = [
        RowBatch(
            tokens=torch.tensor([prompts[rows[row][0]] + answers[row] for row in chosen]),
            n_answer=n_answer,
            item=np.array([rows[row][0] for row in chosen], dtype=np.int64),
            is_answer=np.array([right[row] for row in chosen], dtype=bool),
            continuation=np.array([rows[row][2] for row in chosen], dtype=np.int64),
        )
        for (_, n_answer), same in sorted(by_length.items())
        for start in range(0, len(same), batch_size)
        for chosen in [same[start : start + batch_size]]
    ]
    return EncodedItems(n_items=len(items), batches=tuple(batches))


def greedy_correct(model: nn.Module, items: EncodedItems) -> Bool[np.ndarray, " items"]:
    """For every item, whether greedy decoding of as many tokens as the answer has gives the answer.

    Decoding gives the answer exactly when each of its tokens is the likeliest after the prompt and
    the tokens before it, so one forward pass decides. What would follow the answer is not looked
    at.
    """
    right = np.zeros(items.n_items, dtype=bool)
    for batch in items.batches:
        answers = batch.is_answer
        hit = (likeliest_tokens(model, batch) == batch.tokens[:, -batch.n_answer :]).all(1).numpy()
        right[batch.item[answers]] = hit[answers]
    return right


def likeliest_tokens(model: nn.Module, batch: RowBatch) -> Int[Tensor, "rows n_answer"]:
    """The likeliest token in every place of the continuation, given the true tokens before it.

    Up to the first that differs from the continuation it is what greedy decoding says; what comes
    after is not.
    """
    return _answer_logits(model, batch).argmax(-1).cpu()


def choice_correct(model: nn.Module, items: EncodedItems) -> Bool[np.ndarray, " items"]:
    """For every item, whether the answer has the highest summed log-probability of its choices.

    A tie with another choice counts as wrong.
    """
    answer = np.full(items.n_items, -np.inf)
    best_other = np.full(items.n_items, -np.inf)
    for batch in items.batches:
        scores = continuation_log_probability(model, batch)
        np.maximum.at(answer, batch.item[batch.is_answer], scores[batch.is_answer])
        np.maximum.at(best_other, batch.item[~batch.is_answer], scores[~batch.is_answer])
    return answer > best_other


def continuation_log_probability(model: nn.Module, batch: RowBatch) -> Float[np.ndarray, " rows"]:
    """Summed log-probability, in nats, of every row's continuation given its prompt."""
    logits = _answer_logits(model, batch).float()
    answer = batch.tokens[:, -batch.n_answer :].to(logits.device)
    picked = logits.gather(-1, answer[..., None])[..., 0] - logits.logsumexp(-1)
    return picked.sum(1).double().cpu().numpy()


def correct(model: nn.Module, items: EncodedItems, *, rule: Rule) -> Bool[np.ndarray, " items"]:
    """Right or wrong for every item under `rule`; encode the items under the same rule."""
    return greedy_correct(model, items) if rule == "greedy" else choice_correct(model, items)


def _continuations(item: Item, rule: Rule) -> tuple[str, ...]:
    if rule == "greedy":
        return (item.answer,)
    if len(item.choices) < 2:
        raise BadInput(f"item {item.id!r} has no choices: score by greedy decoding instead")
    return item.choices


@torch.no_grad()
def _answer_logits(model: nn.Module, batch: RowBatch) -> Float[Tensor, "rows n_answer d_vocab"]:
    """Logits at the positions that predict the continuation.

    A prompt that stands in several rows, one a choice, goes through the model once; the choices
    then read its keys and values.
    """
    tokens = batch.tokens.to(next(model.parameters()).device)
    prompts, continuations = tokens[:, : -batch.n_answer], tokens[:, -batch.n_answer :]
    different, row = torch.unique(prompts, dim=0, return_inverse=True)
    if len(different) == len(prompts):
        logits = model(
            input_ids=tokens[:, :-1], use_cache=False, **only_last(model, batch.n_answer)
        ).logits
        return logits[:, -batch.n_answer :]
    several = batch.n_answer > 1
    after_prompt = model(input_ids=different, use_cache=several, **only_last(model, 1))
    first = after_prompt.logits[row, -1:]
    if not several:
        return first
    cache = after_prompt.past_key_values
    cache.batch_select_indices(row)
    rest = model(input_ids=continuations[:, :-1], past_key_values=cache, use_cache=True).logits
    return torch.cat([first, rest], dim=1)


def only_last(model: nn.Module, n: int) -> dict[str, Any]:
    """Ask for the logits of the last positions alone, where the architecture can."""
    known = inspect.signature(model.forward).parameters
    return {"logits_to_keep": n} if "logits_to_keep" in known else {}
