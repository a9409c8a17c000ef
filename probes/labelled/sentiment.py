"""Sentiment from templates: plain, negated, and against what was expected.

The adjectives of the test are not those of the training side, and each adjective is in praise as
often as in blame over the three rules.
"""

from collections.abc import Callable

import numpy as np

from probes.labelled.line import LabelledLine, Split, split_of
from probes.labelled.rules import Drawn, Rule, Sentence, lines_by_rules, pick
from probes.labelled.words.lexicon import BAD, GOOD, REVIEWED

_GOOD, _BAD = split_of(GOOD), split_of(BAD)
_TIMES = ("yesterday", "last night", "on Sunday", "this week")


def sentiment_lines(n: int, rng: np.random.Generator) -> list[LabelledLine]:
    """At most `n` sentences that praise and as many that blame."""
    rules = {"plain": _plain, "negated": _negated, "contrast": _contrast}
    return lines_by_rules("sentiment", rules, n, rng)


def _rule(write: Callable[[str, str, str, str], tuple[Sentence, Sentence]]) -> Rule:
    def rule(split: Split, rng: np.random.Generator) -> Drawn:
        good, bad = pick(_GOOD[split], rng), pick(_BAD[split], rng)
        right, wrong = write(good, bad, pick(REVIEWED, rng), pick(_TIMES, rng))
        return Drawn(right, wrong, (good, bad))

    return rule


@_rule
def _plain(good: str, bad: str, thing: str, time: str) -> tuple[Sentence, Sentence]:
    right, wrong = (Sentence(f"The {thing} {time} was {word}.", word) for word in (good, bad))
    return right, wrong


@_rule
def _negated(good: str, bad: str, thing: str, time: str) -> tuple[Sentence, Sentence]:
    right, wrong = (
        Sentence(f"The {thing} {time} was not {word} at all.", word) for word in (bad, good)
    )
    return right, wrong


@_rule
def _contrast(good: str, bad: str, thing: str, time: str) -> tuple[Sentence, Sentence]:
    right, wrong = (
        Sentence(f"Everyone said that the {thing} {time} would be {said}, but it was {was}.", was)
        for said, was in ((bad, good), (good, bad))
    )
    return right, wrong
