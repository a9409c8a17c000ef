"""Documents to rows of at most `length` tokens: packed end to end, or one document a row.

Every token of every document is in exactly one row; nothing is dropped and nothing repeated. A
row knows, token by token, which document it is of.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from interp.results.errors import BadInput


class TokenDocument(NamedTuple):
    """One document as ids, without BOS or EOS, and its labels in the order they were asked for."""

    number: int
    ids: Int[np.ndarray, " n"]
    labels: tuple[int | float | Shaped[np.ndarray, " n"], ...]
    """A number for the whole document, or one for every id; the form is that of all documents."""


class Frame(NamedTuple):
    """The ids put around text."""

    prefix: tuple[int, ...]
    """Before every row."""
    suffix: tuple[int, ...]
    """After the text of every row, one document a row only."""
    separator: tuple[int, ...]
    """After every document, packed only."""


class Row(NamedTuple):
    """One sequence before padding."""

    tokens: Int[np.ndarray, " n"]
    document: Int[np.ndarray, " n"]
    """A token of the frame belongs to the document whose text follows (prefix) or precedes it."""
    labels: tuple[Shaped[np.ndarray, " n"], ...]


def pack(documents: Iterable[TokenDocument], *, length: int, frame: Frame) -> Iterator[Row]:
    """Rows filled end to end; a document may go on in the next row, the last row may be short."""
    room = _room(length, len(frame.prefix))
    separator = np.array(frame.separator, dtype=np.int64)
    held: list[Row] = []
    n_held = 0
    per_token: tuple[bool, ...] = ()
    for document in documents:
        if not len(document.ids):
            continue
        per_token = tuple(isinstance(label, np.ndarray) for label in document.labels)
        held.append(_row(document, (), 0, len(document.ids), tuple(separator.tolist())))
        n_held += len(held[-1].tokens)
        if n_held < room:
            continue
        joined = _join(held)
        n_full = n_held // room
        for i in range(n_full):
            yield _with_prefix(_cut(joined, i * room, (i + 1) * room), frame.prefix, per_token)
        held = [_cut(joined, n_full * room, n_held)]
        n_held -= n_full * room
    if n_held:
        yield _with_prefix(_join(held), frame.prefix, per_token)


def one_a_row(documents: Iterable[TokenDocument], *, length: int, frame: Frame) -> Iterator[Row]:
    """One document a row; a longer one goes on in rows of its own, each framed alike."""
    room = _room(length, len(frame.prefix) + len(frame.suffix))
    for document in documents:
        for start in range(0, len(document.ids), room):
            stop = min(start + room, len(document.ids))
            yield _row(document, frame.prefix, start, stop, frame.suffix)


def _room(length: int, n_framing: int) -> int:
    if length <= n_framing:
        raise BadInput(f"length {length} has no room for text beside {n_framing} special tokens")
    return length - n_framing


def _row(
    document: TokenDocument,
    prefix: tuple[int, ...],
    start: int,
    stop: int,
    suffix: tuple[int, ...],
) -> Row:
    """The ids [start, stop) of a document with those of the frame around them."""
    tokens = np.concatenate([prefix, document.ids[start:stop], suffix]).astype(np.int64)
    number = np.full(len(tokens), document.number, dtype=np.int64)
    labels = tuple(
        _around(len(prefix), label[start:stop], len(suffix))
        if isinstance(label, np.ndarray)
        else np.full(len(tokens), label)
        for label in document.labels
    )
    return Row(tokens, number, labels)


def _around(before: int, label: Shaped[np.ndarray, " n"], after: int) -> Shaped[np.ndarray, " _"]:
    """Labels of single tokens, with nothing said of the frame: -1, or NaN among fractions."""
    nothing = np.nan if np.issubdtype(label.dtype, np.floating) else -1
    return np.pad(label, (before, after), constant_values=nothing)


def _join(rows: list[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    columns = zip(*(row.labels for row in rows), strict=True)
    return Row(
        np.concatenate([row.tokens for row in rows]),
        np.concatenate([row.document for row in rows]),
        tuple(np.concatenate(column) for column in columns),
    )


def _cut(row: Row, start: int, stop: int) -> Row:
    labels = tuple(label[start:stop] for label in row.labels)
    return Row(row.tokens[start:stop], row.document[start:stop], labels)


def _with_prefix(row: Row, prefix: tuple[int, ...], per_token: tuple[bool, ...]) -> Row:
    if not prefix:
        return row
    n = len(prefix)
    return Row(
        np.concatenate([np.array(prefix, dtype=np.int64), row.tokens]),
        np.concatenate([np.repeat(row.document[:1], n), row.document]),
        tuple(
            _around(n, label, 0) if single else np.concatenate([np.repeat(label[:1], n), label])
            for label, single in zip(row.labels, per_token, strict=True)
        ),
    )
