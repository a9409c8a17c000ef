"""Entailment from templates: roles, and/or, quantifiers and kinds.

A sentence that follows and one that does not hold the same words, in another order or direction.
"""

import numpy as np

from probes.labelled.line import LabelledLine, Split, split_of
from probes.labelled.rules import Drawn, Sentence, lines_by_rules, pick, pick_two
from probes.labelled.words.lexicon import ADVERBS, INTRANSITIVE, KINDS, PEOPLE, TRANSITIVE

_PEOPLE = split_of(PEOPLE)
_OF_A_KIND = {kind: split_of(nouns) for kind, nouns in KINDS.items()}


def entailment_lines(n: int, rng: np.random.Generator) -> list[LabelledLine]:
    """At most `n` pairs of sentences where the second follows, and as many where it does not."""
    rules = {"roles": _roles, "and or": _and_or, "quantifiers": _quantifiers, "kinds": _kinds}
    return lines_by_rules("entailment", rules, n, rng)


def _roles(split: Split, rng: np.random.Generator) -> Drawn:
    first, second = pick_two(_PEOPLE[split], rng)
    verb, adverb = pick(TRANSITIVE, rng), pick(ADVERBS, rng)
    start = f"The {first} {verb} the {second} {adverb}. So the"
    right, wrong = (
        Sentence(f"{start} {done_to} was {verb} by the {doer}.", doer)
        for done_to, doer in ((second, first), (first, second))
    )
    return Drawn(right, wrong, (first, second))


def _and_or(split: Split, rng: np.random.Generator) -> Drawn:
    """From `and` to one, and from one to `or`: each word and direction on both labels."""
    first, second = pick_two(_PEOPLE[split], rng)
    verb, adverb = pick(INTRANSITIVE, rng), pick(ADVERBS, rng)
    widening = bool(rng.integers(2))

    def sentence(word: str) -> Sentence:
        both = f"the {first} {word} the {second} will {verb} {adverb}."
        one = f"the {second} will {verb} {adverb}."
        premise, conclusion = (one, both) if widening else (both, one)
        return Sentence(f"{premise[0].upper()}{premise[1:]} So {conclusion}", verb)

    right, wrong = ("or", "and") if widening else ("and", "or")
    return Drawn(sentence(right), sentence(wrong), (first, second))


def _quantifiers(split: Split, rng: np.random.Generator) -> Drawn:
    noun, verb, adverb = pick(_PEOPLE[split], rng), pick(INTRANSITIVE, rng), pick(ADVERBS, rng)
    strong, weak = (("all", "some"), ("most", "some"), ("all", "most"))[int(rng.integers(3))]
    place = pick(("tall", "old", "young", "new"), rng)
    right, wrong = (
        Sentence(
            f"They say that {a} of the {place} {noun}s {verb} {adverb}. "
            f"So {b} of the {place} {noun}s {verb}.",
            verb,
        )
        for a, b in ((strong, weak), (weak, strong))
    )
    return Drawn(right, wrong, (noun,))


def _kinds(split: Split, rng: np.random.Generator) -> Drawn:
    """From a kind of thing to what it is, not the other way round."""
    person, kind = pick(_PEOPLE[split], rng), pick(tuple(_OF_A_KIND), rng)
    noun, verb = pick(_OF_A_KIND[kind][split], rng), pick(("bought", "drew", "wanted", "saw"), rng)
    right, wrong = (
        Sentence(
            f"The {person} {verb} {_an(first)} {first}. So the {person} {verb} "
            f"{_an(second)} {second}.",
            second,
        )
        for first, second in ((noun, kind), (kind, noun))
    )
    return Drawn(right, wrong, (person, noun))


def _an(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
