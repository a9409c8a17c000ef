"""How often a model's likeliest next word is the true answer, by task, language and split."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from transformers import LlamaForCausalLM

from interp.results.intervals import Interval, wilson
from probes.polyglot.cells import Split, Task, split_cells
from probes.polyglot.languages import LANGUAGES, PROMPT_WORDS, line_ids

TASKS: tuple[Task, Task] = ("ability", "general")
GROUPS = (*LANGUAGES, "BC", "DE", "ABCDE")
"""Languages alone, and pooled: those the base knows, the targets, all five."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Right answers of n questions."""

    right: int
    n: int

    @property
    def interval(self) -> Interval:
        """The share of right answers with its 95% Wilson interval."""
        return wilson(self.right, self.n)

    def to_json(self) -> dict[str, int | float]:
        """Counts, share and interval."""
        return {"right": self.right, "n": self.n, **self.interval._asdict()}


def correct(
    model: LlamaForCausalLM, *, task: Task, split: Split, language: str
) -> Bool[np.ndarray, " n"]:
    """For every cell of the split, whether the likeliest of all words is the answer."""
    operation, x, y = split_cells(task, split).T
    said_in = np.full((len(x), 3), LANGUAGES.index(language))
    ids = torch.from_numpy(line_ids(x=x, y=y, operation=operation, languages=said_in))
    device = next(model.parameters()).device
    with torch.no_grad():
        logits = model(input_ids=ids[:, :PROMPT_WORDS].to(device), use_cache=False).logits
    return (logits[:, -1].argmax(-1).cpu() == ids[:, -1]).numpy()


def accuracies(model: LlamaForCausalLM, *, split: Split = "test") -> dict[str, dict[str, Accuracy]]:
    """Accuracy by task, and within a task by language or group of languages."""
    return {task: _by_group(model, task=task, split=split) for task in TASKS}


def _by_group(model: LlamaForCausalLM, *, task: Task, split: Split) -> dict[str, Accuracy]:
    hits = {
        language: correct(model, task=task, split=split, language=language)
        for language in LANGUAGES
    }
    pooled = {group: np.concatenate([hits[language] for language in group]) for group in GROUPS}
    return {
        group: Accuracy(right=int(group_hits.sum()), n=len(group_hits))
        for group, group_hits in pooled.items()
    }


def accuracies_json(
    by_task: dict[str, dict[str, Accuracy]],
) -> dict[str, dict[str, dict[str, int | float]]]:
    """`accuracies` as JSON values."""
    return {
        task: {group: accuracy.to_json() for group, accuracy in groups.items()}
        for task, groups in by_task.items()
    }
