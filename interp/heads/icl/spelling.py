"""Which words and labels are one token where they stand in a line, found by encoding them there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.heads.icl.tasks import LineForm, Rule, Task, Tasks
from interp.models.examples import encode_prompts
from interp.results.errors import BadInput, Unsupported

LEAST_WORDS = 4
WANTED_WORDS = 12
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class SpelledRule:
    """A rule with the words it can draw: all pairs of two lists, or the pairs listed."""

    label: str
    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    pairs: tuple[Pair, ...]
    """Empty where first and second word are drawn freely."""

    def draw(self, rng: np.random.Generator) -> Pair:
        """A pair of different words."""
        while True:
            if self.pairs:
                return self.pairs[int(rng.integers(len(self.pairs)))]
            first, second = (
                words[int(rng.integers(len(words)))] for words in (self.firsts, self.seconds)
            )
            if first != second:
                return first, second


@dataclass(frozen=True, kw_only=True)
class SpelledTask:
    """A task as one tokenizer reads it."""

    task: Task
    rules: tuple[SpelledRule, ...]
    lead: tuple[int, ...]
    """Tokens between the question and every label: a bare blank of some tokenizers."""
    label_tokens: tuple[int, ...]
    """One a label, in the order of `task.labels`."""
    n_words: dict[str, int]
    """Words that are one token, for each place in a rule: `fruit, first` of 24."""
    n_given: dict[str, int]


def spell(tasks: Tasks, tokenizer: Any) -> tuple[SpelledTask, ...]:
    """Every task with the words of which each is one token wherever it can stand.

    Raises BadInput for a place with fewer than 4 such words (12 are wanted, the number is kept),
    for labels that are not one token each after the same tokens, Unsupported for a tokenizer
    without offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise Unsupported(
            f"{type(tokenizer).__name__} tells no offsets, by which words are found in a prompt: "
            "load the model with a fast tokenizer (tokenizer.json)"
        )
    return tuple(_spelled(task, tasks, tokenizer) for task in tasks.tasks)


def format_tokens(task: SpelledTask, tokenizer: Any, d_vocab: int) -> Bool[np.ndarray, " d_vocab"]:
    """Which tokens are an answer of the right form: any number, or else a label of the task."""
    allowed = np.zeros(d_vocab, dtype=bool)
    allowed[list(task.label_tokens)] = True
    if task.task.in_numbers:
        known = min(len(tokenizer), d_vocab)
        texts = tokenizer.batch_decode([[token] for token in range(known)])
        allowed[:known] |= [_is_number(text.strip()) for text in texts]
    return allowed


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _spelled(task: Task, tasks: Tasks, tokenizer: Any) -> SpelledTask:
    rules, n_words, n_given = [], {}, {}
    for rule in task.rules:
        spelled = _spelled_rule(rule, tasks, tokenizer)
        rules.append(spelled)
        for place, kept, given in _counts(rule, spelled, tasks):
            n_words[place], n_given[place] = kept, given
            if kept < LEAST_WORDS:
                raise BadInput(
                    f"task {task.name}: of the {given} words of {place}, {kept} are one token "
                    f"where they stand; at least {LEAST_WORDS} are needed: give words of this "
                    "model's vocabulary in a tasks file (--tasks)"
                )
    lead, labels = _labels(task, rules[0], tasks.form, tokenizer)
    return SpelledTask(
        task=task,
        rules=tuple(rules),
        lead=lead,
        label_tokens=labels,
        n_words=n_words,
        n_given=n_given,
    )


def _spelled_rule(rule: Rule, tasks: Tasks, tokenizer: Any) -> SpelledRule:
    form = tasks.form
    if rule.second is None:
        listed = tasks.pairs[rule.first]
        kept = tuple(
            pair
            for pair in listed
            if all(_one_token(form, pair, place, rule.label, tokenizer) for place in (0, 1))
        )
        return SpelledRule(label=rule.label, firsts=(), seconds=(), pairs=kept)
    firsts, seconds = tasks.categories[rule.first], tasks.categories[rule.second]
    return SpelledRule(
        label=rule.label,
        firsts=tuple(
            w for w in firsts if _one_token(form, (w, seconds[0]), 0, rule.label, tokenizer)
        ),
        seconds=tuple(
            w for w in seconds if _one_token(form, (firsts[0], w), 1, rule.label, tokenizer)
        ),
        pairs=(),
    )


def _one_token(form: LineForm, pair: Pair, place: int, label: str, tokenizer: Any) -> bool:
    """Whether the word is one token of its own in the first line and in a later one."""
    line = form.demonstration(*pair, label)
    text = form.start + line + form.separator + line
    begin = len(form.start)
    within = _place_of(form, pair, place)
    encoded = tokenizer(text, return_offsets_mapping=True)
    # A word-level vocabulary has one token for all that it does not know.
    known = [
        span
        for span, token in zip(encoded["offset_mapping"], encoded["input_ids"], strict=True)
        if token != tokenizer.unk_token_id
    ]
    return all(
        _covers(known, text, at, at + len(pair[place]))
        for at in (begin + within, begin + len(line) + len(form.separator) + within)
    )


def _place_of(form: LineForm, pair: Pair, place: int) -> int:
    """Where in a line the first or second word begins."""
    field = ("{first}", "{second}")[place]
    before = form.line[: form.line.index(field)]
    # The other word may stand before it, in either order.
    return len(before.format(first=pair[0], second=pair[1]))


def _covers(offsets: Sequence[tuple[int, int]], text: str, start: int, end: int) -> bool:
    """Whether one token, and no other, holds the characters, with at most a blank in front."""
    over = [(a, b) for a, b in offsets if max(a, start) < min(b, end)]
    return len(over) == 1 and over[0][1] == end and not text[over[0][0] : start].strip()


def _counts(rule: Rule, spelled: SpelledRule, tasks: Tasks) -> Iterator[tuple[str, int, int]]:
    if rule.second is None:
        yield f"{rule.first}, pairs", len(spelled.pairs), len(tasks.pairs[rule.first])
        return
    yield f"{rule.first}, first", len(spelled.firsts), len(tasks.categories[rule.first])
    yield f"{rule.second}, second", len(spelled.seconds), len(tasks.categories[rule.second])


def _labels(
    task: Task, rule: SpelledRule, form: LineForm, tokenizer: Any
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What stands between question and label, and the token of every label."""
    first, second = rule.draw(np.random.default_rng(0))
    line = form.demonstration(first, second, task.labels[0])
    before = form.start + line + form.separator + form.question(first, second)
    asked, *answered = encode_prompts(
        [before, *(before + form.answer(label) for label in task.labels)], tokenizer
    )
    shared = len(answered[0]) - 1
    kept_apart = all(
        len(ids) == shared + 1 and ids[: len(asked)] == asked and ids[:shared] == answered[0][:-1]
        for ids in answered
    )
    labels = tuple(ids[-1] for ids in answered)
    if not kept_apart or len(set(labels)) < len(labels):
        raise BadInput(
            f"task {task.name}: the labels {', '.join(task.labels)} are not one token each after "
            f"{form.question(first, second)!r}: choose others, or another line form"
        )
    return tuple(answered[0][len(asked) : shared]), labels
