"""Facts, true or with the object of another fact of the same relation.

Every object is as often in a true line as in a swapped one, under the same prompt, and every
subject too: the words alone do not tell which is which. Subjects of the test are not trained on.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interp.results.errors import BadInput
from probes.labelled.generator import Generator
from probes.labelled.line import LabelledLine, Split, share_of
from probes.labelled.relations import read_relations
from probes.labelled.swapping import Fact, swappable
from probes.labelled.words.facts import RELATIONS, Relation

_ONE_IN = 3


def knowledge_lines(seed: int, n: int, file: Path | None = None) -> list[LabelledLine]:
    """At most `n` true lines of each relation and as many swapped, two thirds to train on."""
    rng = np.random.default_rng(seed)
    relations = RELATIONS if file is None else read_relations(file)
    lines = [line for relation in relations for line in _of_one(relation, n, rng)]
    if not lines:
        raise BadInput(f"{file}: no relation has two facts whose objects can be swapped")
    return lines


def _of_one(relation: Relation, n: int, rng: np.random.Generator) -> Iterator[LabelledLine]:
    subjects = sorted({subject for subject, _ in relation.facts})
    held_out = set(subjects[_ONE_IN - 1 :: _ONE_IN])
    sides: dict[Split, list[Fact]] = {
        "train": [fact for fact in relation.facts if fact[0] not in held_out],
        "test": [fact for fact in relation.facts if fact[0] in held_out],
    }
    for split, facts in sides.items():
        per_prompt = -(-share_of(split, n) // len(relation.prompts))
        left = share_of(split, n)
        for prompt in relation.prompts:
            chosen = rng.permutation(len(facts))[: min(per_prompt, left)]
            pairs, swap = swappable([facts[i] for i in chosen], set(relation.facts), rng=rng)
            left -= len(pairs)
            for (subject, true), other in zip(pairs, swap, strict=True):
                yield _line(relation, prompt, (subject, true), 1, split)
                yield _line(relation, prompt, (subject, pairs[other][1]), 0, split)


def _line(relation: Relation, prompt: str, fact: Fact, label: int, split: Split) -> LabelledLine:
    start = prompt.replace("{}", fact[0]).strip() + " "
    # A subject may begin the line in lower case, as "gold" does; a sentence does not.
    start = start[0].upper() + start[1:]
    return LabelledLine(
        text=f"{start}{fact[1]}.",
        label=1 if label else 0,
        function="knowledge",
        subfunction=relation.name,
        split=split,
        item=fact[0],
        pattern=prompt,
        span=(len(start), len(start) + len(fact[1])),
    )


GENERATOR = Generator(
    name="knowledge",
    kind="knowledge",
    functions=tuple(relation.name for relation in RELATIONS),
    question="the fact is true, not one with the object of another fact of the relation",
    source="relations as functions, 2305.18390; the facts are a small list of ours",
    file="a relation as JSON (LRE, 2308.09124), or a folder of them, in place of our facts",
    file_required=False,
    make=knowledge_lines,
)
