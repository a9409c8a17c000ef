"""Label tasks: lines `apple , march : 3` whose label follows from the categories of the words.

Which label stands for which categories is drawn anew for every task, so that it can be told from
the lines before alone. The categories never change; a glossary says them: `apple is fruit`.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np

from probes.relations.document import Document, Writer
from probes.relations.grammar.words import CATEGORIES, DIGITS, IS, VERDICTS

KINDS = ("single", "binary", "four", "nine", "justification")
Rule = dict[tuple[str, ...], str]
MIN_LINES, MAX_LINES = 6, 24


class Task(NamedTuple):
    """The label of every tuple of categories that lines are drawn from, in equal shares of labels
    for a justification, of tuples otherwise."""

    kind: str
    rule: Rule


def draw_task(rng: np.random.Generator, kind: str) -> Task:
    """A task of fresh categories and labels."""
    names = list(CATEGORIES)
    chosen = [names[i] for i in rng.permutation(len(names))]
    digits = [DIGITS[i] for i in rng.permutation(len(DIGITS))]
    return Task(kind, _RULES[kind](chosen, digits))


def _single(categories: list[str], digits: list[str]) -> Rule:
    return {(categories[0],): digits[0], (categories[1],): digits[1]}


def _binary(categories: list[str], digits: list[str]) -> Rule:
    one, other = categories[:2]
    return {(one, other): digits[0], (other, one): digits[1]}


def _four(categories: list[str], digits: list[str]) -> Rule:
    return dict(zip(product(categories[:2], repeat=2), digits, strict=False))


def _nine(categories: list[str], digits: list[str]) -> Rule:
    return dict(zip(product(categories[:3], repeat=2), digits, strict=False))


def _justification(categories: list[str], _: list[str]) -> Rule:
    true = (categories[0], categories[1])
    pairs = [pair for pair in product(categories[:3], repeat=2) if pair[0] != pair[1]]
    return {pair: VERDICTS[pair != true] for pair in pairs}


_RULES: dict[str, Callable[[list[str], list[str]], Rule]] = {
    "single": _single,
    "binary": _binary,
    "four": _four,
    "nine": _nine,
    "justification": _justification,
}


def say_line(writer: Writer, rng: np.random.Generator, task: Task) -> None:
    """Write a line of a task; its label is an answer."""
    pairs = list(task.rule)
    if task.kind == "justification":
        asked = VERDICTS[int(rng.integers(2))]
        pairs = [pair for pair in pairs if task.rule[pair] == asked]
    pair = pairs[int(rng.integers(len(pairs)))]
    for i, category in enumerate(pair):
        if i:
            writer.say(",")
        writer.say(CATEGORIES[category][int(rng.integers(len(CATEGORIES[category])))])
    writer.say(":")
    writer.label(task.rule[pair])


def draw_glossary(rng: np.random.Generator, length: int) -> Document:
    """Words in any order, each with its category, which is an answer: at most `length` tokens."""
    entries = [(word, name) for name, words in CATEGORIES.items() for word in words]
    writer = Writer()
    for i in rng.permutation(len(entries))[: (length - 1) // 3]:
        writer.say(entries[i][0], IS)
        writer.label(entries[i][1])
    return writer.finish()
