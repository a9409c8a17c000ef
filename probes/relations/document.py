"""Document: words with the entities and facts that are in them, and where a fact is asked.

Everything is counted in words; `characters` and `pieces` say where words are in the text and among
the tokens. What is true is what the generator meant: nothing is read off the text.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from interp.results.atomic import atomic_file


class Mentioned(NamedTuple):
    """An entity: what it is called in the data, its type, and the words that name it."""

    id: str
    type: str
    places: tuple[int, ...]


class Fact(NamedTuple):
    """That `head` stands in `relation` to `tail`, and the words that answer a question of it."""

    head: int
    """Place among the entities."""
    relation: str
    tail: int
    asked: tuple[int, ...] = ()
    """Words that are answers: each is to be predicted from the words before it."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """Where a sentence stands and its tree, a word a row as in CoNLL-U."""

    start: int
    """Its first word."""
    upos: tuple[str, ...]
    heads: tuple[int, ...]
    """The number of each word's head, from 1; 0 for the root."""
    deprels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text and its truth."""

    words: tuple[str, ...]
    entities: tuple[Mentioned, ...]
    facts: tuple[Fact, ...]
    labels: tuple[int, ...] = ()
    """Words that are answers too, of no fact."""
    sentences: tuple[Sentence, ...] = ()

    @property
    def text(self) -> str:
        """The words with a space between them."""
        return " ".join(self.words)

    @property
    def asked(self) -> tuple[Fact, ...]:
        """The facts of which there is a question."""
        return tuple(fact for fact in self.facts if fact.asked)

    def characters(self) -> list[tuple[int, int]]:
        """First character of every word in the text, and the one after its last."""
        spans, start = [], 0
        for word in self.words:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return spans

    def to_json(self) -> dict[str, object]:
        """The text, entities with their spans of characters, and what is asked with its answers."""
        spans = self.characters()
        return {
            "text": self.text,
            "entities": [
                {"id": e.id, "type": e.type, "spans": [list(spans[place]) for place in e.places]}
                for e in self.entities
            ],
            "relations": [
                [
                    self.entities[fact.head].id,
                    fact.relation,
                    self.entities[fact.tail].id,
                    [spans[place][0] for place in fact.asked],
                ]
                for fact in self.asked
            ],
        }


Draw = Callable[[np.random.Generator], Document]
"""A document of a generator's next state."""


class Writer:
    """Collects the words of a document, where each entity is named, and the facts."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.types: dict[str, str] = {}
        self.places: dict[str, list[int]] = {}
        self.asked: dict[tuple[str, str, str], list[int]] = {}
        self.labels: list[int] = []
        self.sentences: list[Sentence] = []

    def say(self, *words: str) -> None:
        """Words that name nothing."""
        self.words += words

    def name(self, entity: str, *, type: str) -> None:
        """The word of an entity, which is its id too."""
        self.types.setdefault(entity, type)
        self.places.setdefault(entity, []).append(len(self.words))
        self.words.append(entity)

    def state(self, head: str, relation: str, tail: str) -> None:
        """A fact; its entities may be named later."""
        self.asked.setdefault((head, relation, tail), [])

    def answer(self, head: str, relation: str, tail: str, *, said: str | None = None) -> None:
        """The next word answers a question of a fact: its tail, or what is said instead."""
        self.asked[head, relation, tail].append(len(self.words))
        said = tail if said is None else said
        self.name(said, type=self.types[said])

    def label(self, word: str) -> None:
        """A word that is to be predicted and answers no question of a fact."""
        self.labels.append(len(self.words))
        self.words.append(word)

    def finish(self) -> Document:
        """The document."""
        order = {entity: i for i, entity in enumerate(self.places)}
        return Document(
            words=tuple(self.words),
            entities=tuple(
                Mentioned(entity, self.types[entity], tuple(places))
                for entity, places in self.places.items()
            ),
            facts=tuple(
                Fact(order[head], relation, order[tail], tuple(asked))
                for (head, relation, tail), asked in self.asked.items()
            ),
            labels=tuple(self.labels),
            sentences=tuple(self.sentences),
        )


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Write documents as jsonl, for `open_relations`; how many there were."""
    lines = [json.dumps(document.to_json()) + "\n" for document in documents]
    with atomic_file(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return len(lines)
