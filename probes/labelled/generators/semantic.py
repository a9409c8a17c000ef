"""Homographs in contexts that decide their sense, the same templates for both senses.

Two nouns that are at home with one sense stand before the word, so that a model that reads from the
left can know the sense there; the nouns of the test are not those of the training side.
"""

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from probes.labelled.generator import Generator
from probes.labelled.line import LabelledLine, Split, share_of, split_of
from probes.labelled.words.homographs import HOMOGRAPHS, Homograph

_TEMPLATES = (
    "The {a} and the {b} were the first things that came to mind after they mentioned the {word}.",
    "After the {a} and the {b}, everybody asked about the {word}.",
    "First we noticed the {a}, then the {b}, and at last the {word}.",
    "With the {a} on one page and the {b} on the next, the book described the {word}.",
    "He wrote about the {a}, the {b} and the {word}.",
    "There was the {a}, there was the {b}, and there was the {word}.",
    "Because of the {a} and the {b}, nobody forgot the {word}.",
    "My notes say {a}, {b}, {word}.",
    "Someone pointed from the {a} to the {b} and then to the {word}.",
    "Next to the {a} and the {b}, the children drew the {word}.",
    "It began with the {a}; it went on with the {b}; it ended with the {word}.",
)


def semantic_lines(seed: int, n: int) -> list[LabelledLine]:
    """At most `n` lines of each sense of each homograph, two thirds of them to train on."""
    rng = np.random.default_rng(seed)
    sides: tuple[Split, Split] = ("train", "test")
    return [
        line
        for homograph, split in product(HOMOGRAPHS, sides)
        for line in _of_one(homograph, split, share_of(split, n), rng)
    ]


def _of_one(
    homograph: Homograph, split: Split, n: int, rng: np.random.Generator
) -> Iterator[LabelledLine]:
    cues = [split_of(sense)[split] for sense in homograph.cues]
    # Both senses use the same templates and the same places in their lists: only words differ.
    places = permutations(range(min(map(len, cues))), 2)
    choices = list(product(range(len(_TEMPLATES)), places))
    for i in rng.permutation(len(choices))[:n]:
        template, (first, second) = choices[int(i)]
        for label, nouns in ((1, cues[0]), (0, cues[1])):
            yield _line(homograph, template, (nouns[first], nouns[second]), label, split)


def _line(
    homograph: Homograph, template: int, cues: tuple[str, str], label: int, split: Split
) -> LabelledLine:
    before, after = _TEMPLATES[template].split("{word}")
    start = before.format(a=cues[0], b=cues[1])
    return LabelledLine(
        text=start + homograph.word + after,
        label=1 if label else 0,
        function="semantic",
        subfunction=homograph.word,
        split=split,
        item="+".join(sorted(cues)),
        pattern=f"{homograph.word}%{homograph.senses[1 - label]}",
        span=(len(start), len(start) + len(homograph.word)),
    )


GENERATOR = Generator(
    name="semantic",
    kind="semantic",
    functions=tuple(homograph.word for homograph in HOMOGRAPHS),
    question="the homograph is used in its first sense (bank: money), not its second (river)",
    source="word senses as functions, 2305.18390; words and templates are ours",
    file=None,
    file_required=False,
    make=lambda seed, n, file: semantic_lines(seed, n),  # noqa: ARG005
)
