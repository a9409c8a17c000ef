"""Acceptability from a grammar: agreement, determiners, reflexives and word order.

The two sentences of a pair hold the same words, or each form is in acceptable sentences as often as
in others: a bag of words cannot tell.
"""

import numpy as np

from probes.labelled.line import LabelledLine, Split, split_of
from probes.labelled.rules import Drawn, Sentence, lines_by_rules, pick, pick_two
from probes.labelled.words.lexicon import (
    ADVERBS,
    INTRANSITIVE,
    MEN,
    PEOPLE,
    THINGS,
    TRANSITIVE,
    WOMEN,
)

_PEOPLE, _THINGS = split_of(PEOPLE), split_of(THINGS)
_MEN, _WOMEN = split_of(MEN), split_of(WOMEN)
_PLACES = ("near", "behind", "beside", "in front of")


def acceptability_lines(n: int, rng: np.random.Generator) -> list[LabelledLine]:
    """At most `n` acceptable sentences and as many that are not."""
    rules = {
        "agreement": _agreement,
        "determiner": _determiner,
        "reflexive": _reflexive,
        "word order": _word_order,
    }
    return lines_by_rules("acceptability", rules, n, rng)


def _agreement(split: Split, rng: np.random.Generator) -> Drawn:
    """The verb agrees with the head noun, whatever noun stands nearer."""
    noun, near = pick(_PEOPLE[split], rng), pick(_THINGS[split], rng)
    verb, adverb, place = pick(INTRANSITIVE, rng), pick(ADVERBS, rng), pick(_PLACES, rng)
    plural, near_plural = rng.integers(2, size=2)
    start = f"The {noun}{'s' * plural} {place} the {near}{'s' * near_plural}"
    forms = (verb, verb + "s") if plural else (verb + "s", verb)
    right, wrong = (Sentence(f"{start} {form} {adverb}.", form) for form in forms)
    return Drawn(right, wrong, (noun, near))


def _determiner(split: Split, rng: np.random.Generator) -> Drawn:
    """`this` and `that` go with one thing, `these` and `those` with several."""
    noun, person = pick(_THINGS[split], rng), pick(_PEOPLE[split], rng)
    one, many = (("this", "these"), ("that", "those"))[int(rng.integers(2))]
    plural, adverb = int(rng.integers(2)), pick(ADVERBS, rng)
    words = (many, one) if plural else (one, many)
    noun_form = noun + "s" * plural
    right, wrong = (
        Sentence(f"The {person} looked at {word} {noun_form} {adverb}.", noun_form)
        for word in words
    )
    return Drawn(right, wrong, (noun, person))


def _reflexive(split: Split, rng: np.random.Generator) -> Drawn:
    """The reflexive has the gender of the subject, not of the noun between."""
    woman, man = pick(_WOMEN[split], rng), pick(_MEN[split], rng)
    verb, adverb = pick(TRANSITIVE, rng), pick(ADVERBS, rng)
    hers = bool(rng.integers(2))
    subject, other = (woman, man) if hers else (man, woman)
    forms = ("herself", "himself") if hers else ("himself", "herself")
    right, wrong = (
        Sentence(f"The {subject} beside the {other} {verb} {form} {adverb}.", form)
        for form in forms
    )
    return Drawn(right, wrong, (woman, man))


def _word_order(split: Split, rng: np.random.Generator) -> Drawn:
    """The article stands before its noun; neither first nor last word moves."""
    first, second = pick_two(_PEOPLE[split], rng)
    thing, verb, place = pick(_THINGS[split], rng), pick(TRANSITIVE, rng), pick(_PLACES, rng)
    start, end = f"The {first} {verb}", f"{place} this {thing}."
    right = Sentence(f"{start} the {second} {end}", second)
    wrong = Sentence(f"{start} {second} the {end}", second)
    return Drawn(right, wrong, (first, second, thing))
