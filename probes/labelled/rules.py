"""Rule: what writes a pair of sentences, label 1 and label 0, out of the items of one side."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from probes.labelled.line import LabelledLine, Split, share_of


class Sentence(NamedTuple):
    """A text, and the word by which its label is decided."""

    text: str
    decided_by: str
    """The last place where it stands is the span."""


class Drawn(NamedTuple):
    """Two sentences made of the same items."""

    right: Sentence
    wrong: Sentence
    items: tuple[str, ...]


Rule = Callable[[Split, np.random.Generator], Drawn]
_TRIES = 20


def lines_by_rules(
    subfunction: str, rules: dict[str, Rule], n: int, rng: np.random.Generator
) -> list[LabelledLine]:
    """At most `n` distinct lines of each label, each rule in its turn, on both sides."""
    lines: list[LabelledLine] = []
    seen: set[str] = set()
    sides: tuple[Split, Split] = ("train", "test")
    for split in sides:
        names = list(rules)
        for i in range(share_of(split, n)):
            name = names[i % len(names)]
            drawn = _new(rules[name], split, rng, seen)
            if drawn is not None:
                seen |= {drawn.right.text, drawn.wrong.text}
                lines += _both(subfunction, name, drawn, split)
    return lines


def pick(words: Sequence[str], rng: np.random.Generator) -> str:
    """One of the words."""
    return words[int(rng.integers(len(words)))]


def pick_two(words: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    """Two different ones of the words."""
    first, second = rng.choice(len(words), 2, replace=False)
    return words[int(first)], words[int(second)]


def _new(rule: Rule, split: Split, rng: np.random.Generator, seen: set[str]) -> Drawn | None:
    for _ in range(_TRIES):
        drawn = rule(split, rng)
        if drawn.right.text not in seen and drawn.wrong.text not in seen:
            return drawn
    return None


def _both(subfunction: str, rule: str, drawn: Drawn, split: Split) -> list[LabelledLine]:
    def line(sentence: Sentence, label: Literal[0, 1]) -> LabelledLine:
        return LabelledLine(
            text=sentence.text,
            label=label,
            function="task",
            subfunction=subfunction,
            split=split,
            item="+".join(sorted(drawn.items)),
            pattern=rule,
            span=_span(sentence),
        )

    return [line(drawn.right, 1), line(drawn.wrong, 0)]


def _span(sentence: Sentence) -> tuple[int, int]:
    start = sentence.text.rindex(sentence.decided_by)
    return start, start + len(sentence.decided_by)
