"""Sentences of two noun phrases and a verb, in either order, with their trees.

`the kel bam sees a jat` and `a jat sees the kel bam` say the same, of a bam that is kel: `the`
marks the subject. So a subject and an object each stand before the verb in half of the sentences.
"""

from typing import NamedTuple

import numpy as np

from probes.relations.document import Sentence, Writer
from probes.relations.grammar.words import OBJECT, SUBJECT

P_MODIFIER = 0.8


class Phrase(NamedTuple):
    """A noun and what qualifies it."""

    noun: str
    modifier: str | None


def say_sentence(
    writer: Writer, *, subject: Phrase, verb: str, object_: Phrase, subject_first: bool
) -> list[tuple[str, str, str]]:
    """Write a sentence; its facts: subject and object of the verb, modifiers of the nouns."""
    phrases = [(SUBJECT, subject, "nsubj"), (OBJECT, object_, "obj")]
    before, after = phrases if subject_first else phrases[::-1]
    start = len(writer.words)
    sizes = [2 + (phrase.modifier is not None) for _, phrase, _ in (before, after)]
    root = sizes[0] + 1
    rows = _say_phrase(writer, *before, end=sizes[0], root=root)
    writer.name(verb, type="VERB")
    rows.append(("VERB", 0, "root"))
    rows += _say_phrase(writer, *after, end=root + sizes[1], root=root)
    upos, heads, deprels = zip(*rows, strict=True)
    writer.sentences.append(Sentence(start=start, upos=upos, heads=heads, deprels=deprels))
    facts = [(verb, "subj", subject.noun), (verb, "obj", object_.noun)]
    for phrase in (subject, object_):
        if phrase.modifier is not None:
            facts.append((phrase.noun, "mod", phrase.modifier))
    for fact in facts:
        writer.state(*fact)
    return facts


def _say_phrase(
    writer: Writer, determiner: str, phrase: Phrase, deprel: str, *, end: int, root: int
) -> list[tuple[str, int, str]]:
    rows = [("DET", end, "det")]
    writer.say(determiner)
    if phrase.modifier is not None:
        writer.name(phrase.modifier, type="name")
        rows.append(("ADJ", end, "amod"))
    writer.name(phrase.noun, type="name")
    return [*rows, ("NOUN", root, deprel)]


def draw_phrase(rng: np.random.Generator, names: list[str]) -> Phrase:
    """The last of the names, which it takes, with the one before it in eight of ten draws."""
    return Phrase(names.pop(), names.pop() if rng.random() < P_MODIFIER else None)
