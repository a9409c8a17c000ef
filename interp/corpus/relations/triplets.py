"""RelatedSequence: one token sequence with its entities, and the triplets that relate them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Entity(NamedTuple):
    """Something that a sequence mentions, once or more."""

    id: str
    type: str
    """What kind it is; only entities of one type are compared with each other."""
    mentions: tuple[tuple[int, int], ...]
    """First token of each mention, and the one after its last; in order, none of them empty."""


class Triplet(NamedTuple):
    """Entity `head` stands in `relation` to entity `tail`."""

    head: int
    """Index into the sequence's entities."""
    relation: int
    """Index into the corpus's relations."""
    tail: int
    at: tuple[int, ...] = ()
    """Positions whose next token should be the tail; empty where nothing asks for it."""


class RelatedSequence(NamedTuple):
    """One sequence as fed to a model, its framing tokens included."""

    tokens: Int[np.ndarray, " pos"]
    entities: tuple[Entity, ...]
    triplets: tuple[Triplet, ...]
    document: int
    """Sequences of one document are never independent."""
    text: str | None = None
    """The text that the tokens were made of; None where they were not made of text."""
