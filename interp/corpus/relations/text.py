"""RelatedText: a text with entities on its characters and relations between them."""

from typing import NamedTuple


class TextEntity(NamedTuple):
    """Something that a text mentions."""

    id: str
    type: str
    spans: tuple[tuple[int, int], ...]
    """First character of each mention, and the one after its last."""


class TextRelation(NamedTuple):
    """Entity `head` stands in relation `name` to entity `tail`."""

    head: int
    name: str
    tail: int
    answers: tuple[int, ...] = ()
    """Characters where the text, asked for the tail, begins to say it."""


class RelatedText(NamedTuple):
    """One text before tokenization."""

    text: str
    entities: tuple[TextEntity, ...]
    relations: tuple[TextRelation, ...]
    document: int
    where: str
    """File and line, for messages."""
    unusable: str | None = None
    """Why none of its relations can be used; None where they can."""
