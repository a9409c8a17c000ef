"""Classes of tokens that the spelling decides: digits, brackets, capitals, words, punctuation.

A detector of one of them should score near 1; what it copies is the token itself, as its leak says.
Names and numbers of the test are not those of the training side.
"""

import re
from itertools import count

import numpy as np

from probes.labelled.generator import Generator
from probes.labelled.line import Split, TokenLine, share_of, split_of
from probes.labelled.rules import pick
from probes.labelled.words.facts import RELATIONS
from probes.labelled.words.lexicon import PEOPLE, THINGS

CLASSES = ("bracket", "capital", "digit", "punctuation", "word")
_NAMES = split_of(sorted({name for fact in RELATIONS[0].facts for name in fact if " " not in name}))
_THINGS, _PEOPLE = split_of(THINGS), split_of(PEOPLE)
_NUMBERS = split_of([str(number) for number in range(10, 1000)])
_PAIRS = ("()", "[]", "{}")
_TEMPLATES = (
    "they sold {number} {thing}s in {name} {open}see {other}{close}, and the {person} left.",
    "from {name} to {capital} it takes {number} hours {open}or {other}{close}; no {person} goes.",
    "every {person} {open}in {name} or {capital}{close} has {number} {thing}s, not {other}.",
    "the {thing} of {name} {open}number {number}{close} was lost: {capital} has the other {other}.",
)
_PIECES = re.compile(r"\w+|[^\w\s]")
_TRIES = 50


def token_lines(seed: int, n: int) -> list[TokenLine]:
    """`n` texts, each with tokens of every class, two thirds of them to train on."""
    rng = np.random.default_rng(seed)
    sides: tuple[Split, Split] = ("train", "test")
    return [line for split in sides for line in _distinct(split, share_of(split, n), rng)]


def _distinct(split: Split, n: int, rng: np.random.Generator) -> list[TokenLine]:
    lines: dict[str, TokenLine] = {}
    for tries in count():
        if len(lines) == n or tries == n * _TRIES:
            return list(lines.values())
        line = _line(split, rng)
        lines.setdefault(line.text, line)
    raise AssertionError("count() ends")


def _line(split: Split, rng: np.random.Generator) -> TokenLine:
    opening, closing = pick(_PAIRS, rng)
    filled = {
        "name": pick(_NAMES[split], rng),
        "capital": pick(_NAMES[split], rng),
        "number": pick(_NUMBERS[split], rng),
        "other": pick(_NUMBERS[split], rng),
        "thing": pick(_THINGS[split], rng),
        "person": pick(_PEOPLE[split], rng),
    }
    text = pick(_TEMPLATES, rng).format(**filled, open=opening, close=closing)
    return TokenLine(
        text=text,
        classes=tuple((m.start(), m.end(), spelling(m.group())) for m in _PIECES.finditer(text)),
        function="spelling",
        split=split,
        item="+".join(sorted(set(filled.values()))),
    )


def spelling(word: str) -> str:
    """The class of a word by its characters."""
    if word.isdigit():
        return "digit"
    if word in "()[]{}":
        return "bracket"
    if not word[0].isalnum():
        return "punctuation"
    return "capital" if word[0].isupper() else "word"


GENERATOR = Generator(
    name="tokens",
    kind="token class",
    functions=CLASSES,
    question="each word's class: bracket, capital, digit, punctuation or word",
    source="ours: detectors whose answer the spelling decides",
    file=None,
    file_required=False,
    make=lambda seed, n, file: token_lines(seed, n),  # noqa: ARG005
)
