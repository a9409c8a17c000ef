"""Prompts of k lines and a question: the same ones for every checkpoint that is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from interp.heads.icl.spelling import Pair, SpelledTask, format_tokens, spell
from interp.heads.icl.tasks import LineForm, Tasks
from interp.models.examples import encode_prompts
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes

SHOTS = (0, 1, 2, 3, 4, 5, 10, 20)
_QUERIES, _LINES, _SHUFFLED = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Which prompts: of a task, with so many lines, with their own labels or with drawn ones."""

    task: int
    shots: int
    """Place in `PromptSet.shots`."""
    shuffled: bool


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Every prompt as token ids, and what counts as an answer."""

    tasks: tuple[SpelledTask, ...]
    shots: tuple[int, ...]
    gold: Int[np.ndarray, "tasks prompts"]
    """Which of the task's labels is right; the same question is asked at every k."""
    ids: dict[Condition, tuple[Int[np.ndarray, " pos"], ...]]
    in_format: Bool[np.ndarray, "tasks d_vocab"]

    @property
    def n_prompts(self) -> int:
        """Of each condition."""
        return self.gold.shape[1]

    @property
    def n_tokens(self) -> int:
        """All that is fed to one model."""
        return sum(len(row) for rows in self.ids.values() for row in rows)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(len(row) for rows in self.ids.values() for row in rows)

    @property
    def hash(self) -> str:
        """SHA-256 of the tokens as fed and the right answers."""
        parts = [row.tobytes() for rows in self.ids.values() for row in rows]
        return sha256_bytes(b"".join([*parts, self.gold.tobytes()]))


def make_prompts(
    tasks: Tasks,
    tokenizer: Any,
    *,
    d_vocab: int,
    shots: Sequence[int] = SHOTS,
    n_prompts: int = 200,
    seed: int = 0,
    context: int | None = None,
) -> PromptSet:
    """At least `n_prompts` of every task and k, with the labels of the questions balanced.

    With k ≥ classes every class is shown, otherwise k different ones; the question's pair is not
    among the lines. The shuffled twin of a prompt has every label drawn at random from the task's.
    Raises BadInput where a prompt does not fit into `context`, and as `spell`.
    """
    shots = tuple(sorted(set(shots)))
    if not shots or shots[0] < 0 or n_prompts < 1:
        raise BadInput(f"{n_prompts} prompts with {shots} lines: at least 1 and 0")
    spelled = spell(tasks, tokenizer)
    n = _balanced(n_prompts, [len(task.task.labels) for task in spelled])
    gold = np.stack([_gold(task, n, [seed, _QUERIES, i]) for i, task in enumerate(spelled)])
    ids = {}
    for condition, texts in _texts(spelled, tasks.form, shots, gold, seed):
        lead = spelled[condition.task].lead
        rows = tuple(
            np.array([*row, *lead], dtype=np.int64) for row in encode_prompts(texts, tokenizer)
        )
        _refuse_too_long(rows, context, spelled[condition.task], shots[condition.shots], shots)
        ids[condition] = rows
    return PromptSet(
        tasks=spelled,
        shots=shots,
        gold=gold,
        ids=ids,
        in_format=np.stack([format_tokens(task, tokenizer, d_vocab) for task in spelled]),
    )


def no_prompts(shots: Sequence[int], d_vocab: int) -> PromptSet:
    """Of no task, for measures that ask nothing."""
    return PromptSet(
        tasks=(),
        shots=tuple(sorted(set(shots))),
        gold=np.zeros((0, 1), dtype=np.int64),
        ids={},
        in_format=np.zeros((0, d_vocab), dtype=bool),
    )


def _balanced(n: int, n_labels: Sequence[int]) -> int:
    """At least n, and where that does not double it so that every label is asked equally often."""
    together = lcm(*n_labels)
    return -(-n // together) * together if together <= n else n


def _gold(task: SpelledTask, n: int, seed: Sequence[int]) -> Int[np.ndarray, " prompts"]:
    return np.random.default_rng(seed).permutation(np.arange(n) % len(task.task.labels))


def _texts(
    tasks: Sequence[SpelledTask],
    form: LineForm,
    shots: Sequence[int],
    gold: Int[np.ndarray, "tasks prompts"],
    seed: int,
) -> Iterator[tuple[Condition, list[str]]]:
    for i, task in enumerate(tasks):
        rng = np.random.default_rng([seed, _QUERIES, i, 1])
        labels = task.task.labels
        queries = [_pair(task, labels[g], rng) for g in gold[i]]
        for place, k in enumerate(shots):
            lines = np.random.default_rng([seed, _LINES, i, k])
            other = np.random.default_rng([seed, _SHUFFLED, i, k])
            shown = [_shown(task, k, query, lines) for query in queries]
            for shuffled in (False, True):
                texts = [
                    _text(form, query, _relabelled(pairs, labels, other) if shuffled else pairs)
                    for query, pairs in zip(queries, shown, strict=True)
                ]
                yield Condition(task=i, shots=place, shuffled=shuffled), texts


def _text(form: LineForm, query: Pair, shown: Sequence[tuple[Pair, str]]) -> str:
    lines = [form.demonstration(*pair, label) + form.separator for pair, label in shown]
    return form.start + "".join(lines) + form.question(*query)


def _shown(
    task: SpelledTask, k: int, query: Pair, rng: np.random.Generator
) -> list[tuple[Pair, str]]:
    """k pairs with their labels, none of them the question's."""
    labels = task.task.labels
    classes = rng.permutation(len(labels))[:k]
    more = rng.integers(len(labels), size=max(0, k - len(labels)))
    order = rng.permutation(np.concatenate([classes, more])).tolist()
    chosen = [labels[int(j)] for j in order]
    return [(_other_than(query, task, label, rng), label) for label in chosen]


def _other_than(query: Pair, task: SpelledTask, label: str, rng: np.random.Generator) -> Pair:
    while (pair := _pair(task, label, rng)) == query:
        pass
    return pair


def _pair(task: SpelledTask, label: str, rng: np.random.Generator) -> Pair:
    rules = [rule for rule in task.rules if rule.label == label]
    return rules[int(rng.integers(len(rules)))].draw(rng)


def _relabelled(
    shown: Sequence[tuple[Pair, str]], labels: Sequence[str], rng: np.random.Generator
) -> list[tuple[Pair, str]]:
    drawn = [labels[int(j)] for j in rng.integers(len(labels), size=len(shown))]
    return [(pair, label) for (pair, _), label in zip(shown, drawn, strict=True)]


def _refuse_too_long(
    rows: Sequence[Int[np.ndarray, " pos"]],
    context: int | None,
    task: SpelledTask,
    k: int,
    shots: Sequence[int],
) -> None:
    longest = max(map(len, rows))
    if context is not None and longest > context:
        shorter = ",".join(str(other) for other in shots if other < k)
        raise BadInput(
            f"{k} lines of {task.task.name} take {longest} tokens and the model's context is "
            f"{context}: ask with fewer (--shots {shorter or '0'})"
        )
