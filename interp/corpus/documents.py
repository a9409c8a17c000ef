"""Source: where documents come from, and what an entry of a source must be to be one.

A document is text, or a list of ready token ids, with its labels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from interp.corpus.labels import Label, LabelScheme, int64, label_of
from interp.results.errors import BadInput

Labels = tuple[Label, ...]


class Document(NamedTuple):
    """One document before tokenization."""

    content: str | list[int]
    labels: Labels
    where: str
    """File and line, for messages."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A reading of documents that can be started again and gives the same each time."""

    name: str
    digest: str
    """Changes when the documents could change."""
    n_documents: int | None
    """None for a stream."""
    read: Callable[[Sequence[int] | None], Iterator[Document]]
    """Documents in the source's order, or in the order of the numbers given."""
    digest_is_whole: bool = True
    """False where the digest is only of the first documents."""
    scheme: LabelScheme = field(default_factory=LabelScheme)
    """The strings of its labels; none are known of a stream."""


def document_of(
    entry: Mapping[str, Any], *, field: str, labels: tuple[str, ...], where: str
) -> Document:
    """The document in one entry; BadInput with its place if a field is missing or of no use."""
    content = _present(entry, field, where)
    if isinstance(content, str):
        check_text(content, where)
    elif isinstance(content, np.ndarray | list) and all(is_integer(i) for i in content):
        content = [int64(i, f"{where}: a token id") for i in content]
    else:
        raise BadInput(
            f"{where}: field {field!r} holds a {type(content).__name__}, text or a list of token "
            "ids was expected"
        )
    return Document(content, labels_of(entry, labels, where), where)


def labels_of(entry: Mapping[str, Any], labels: tuple[str, ...], where: str) -> Labels:
    """The labels in one entry; BadInput with its place if one is missing or of no use."""
    return tuple(label_of(_present(entry, name, where), name, where) for name in labels)


def _present(entry: Mapping[str, Any], name: str, where: str) -> Any:
    if entry.get(name) is None:
        there = ", ".join(sorted(map(str, entry))) or "none"
        raise BadInput(f"{where} has no field {name!r}: its fields are {there}")
    return entry[name]


def check_text(text: str, where: str) -> None:
    """BadInput if `text` holds half of a surrogate pair, which is no character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{where} holds the lone surrogate {text[error.start]!a} at character {error.start}: "
            "it is not text"
        ) from error


def is_integer(value: Any) -> bool:
    """Whether `value` is an integer, a bool not counted."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
