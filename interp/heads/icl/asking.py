"""What a model says to every prompt: the three levels of one checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.evaluation.scoring import only_last
from interp.heads.icl.levels import Said
from interp.heads.icl.prompts import Condition, PromptSet

_TOKENS_AT_ONCE = 16_384
Advance = Callable[..., None]


def ask(
    model: nn.Module,
    prompts: PromptSet,
    *,
    conditions: Sequence[Condition] | None = None,
    advance: Advance = lambda *_: None,
) -> tuple[Said, Said]:
    """What the model says to the prompts, and to those with shuffled labels.

    `model` is called as transformers models are; hooks and interventions on it take part. What is
    not in `conditions` stays NaN, and False. `advance` is told how many prompts are done.
    """
    shape = (len(prompts.tasks), len(prompts.shots), prompts.n_prompts)
    found = (Said.empty(shape), Said.empty(shape))
    for condition in prompts.ids if conditions is None else conditions:
        own = found[condition.shuffled]
        for rows, logits in _last_logits(model, prompts.ids[condition]):
            _note(own, condition, rows, logits, prompts)
            advance(len(rows))
    return found


def legal_logits(
    model: nn.Module, prompts: PromptSet, condition: Condition
) -> Float[np.ndarray, "prompts labels"]:
    """Logits of the task's labels after every prompt of one condition."""
    labels = list(prompts.tasks[condition.task].label_tokens)
    found = np.full((prompts.n_prompts, len(labels)), np.nan)
    for rows, logits in _last_logits(model, prompts.ids[condition]):
        found[rows] = logits[:, labels].double().cpu().numpy()
    return found


def _last_logits(
    model: nn.Module, rows: Sequence[Int[np.ndarray, " pos"]]
) -> Iterator[tuple[list[int], Float[Tensor, "rows d_vocab"]]]:
    """Logits after each prompt; prompts of one length go together, so nothing is padded."""
    device = next(model.parameters()).device
    asked: Any = model
    lengths = np.array([len(row) for row in rows])
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length).tolist()
        at_once = max(1, _TOKENS_AT_ONCE // int(length))
        for start in range(0, len(same), at_once):
            chosen = same[start : start + at_once]
            tokens = torch.from_numpy(np.stack([rows[i] for i in chosen])).to(device)
            with torch.no_grad():
                output = asked(input_ids=tokens, use_cache=False, **only_last(model, 1))
            yield chosen, output.logits[:, -1].float()


def _note(
    found: Said,
    condition: Condition,
    rows: list[int],
    logits: Float[Tensor, "rows d_vocab"],
    prompts: PromptSet,
) -> None:
    at = condition.task, condition.shots, rows
    gold = torch.from_numpy(prompts.gold[condition.task, rows])
    labels = torch.tensor(prompts.tasks[condition.task].label_tokens)
    log_p = logits.log_softmax(-1).cpu()
    top = log_p.argmax(-1)
    legal = log_p[:, labels]
    right = legal.gather(1, gold[:, None])[:, 0]
    best_wrong = legal.scatter(1, gold[:, None], -torch.inf).max(1).values
    found.format[at] = _among(top, prompts.in_format[condition.task])
    found.pattern[at] = (top == labels[gold]).numpy()
    found.legal[at] = (right > best_wrong).numpy()
    found.legal_mass[at] = legal.logsumexp(1).exp().numpy()
    found.gold_log_probability[at] = right.numpy()
    found.margin[at] = (right - best_wrong).numpy()


def _among(
    tokens: Int[Tensor, " rows"], allowed: Bool[np.ndarray, " d_vocab"]
) -> Bool[np.ndarray, " rows"]:
    return allowed[tokens.numpy()]
