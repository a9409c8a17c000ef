"""CoNLL-U treebanks: a sentence is a document, and its words' annotation labels their characters.

Labels are `upos`, `xpos`, `lemma`, `deprel`, `udeprel` (without its subtype), `feats` (all in one)
and `feats.NAME` of one feature (universaldependencies.org/format.html). A multiword token carries
a label on which its words agree; empty nodes have no characters and carry none.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from interp.corpus.documents import Document, Source
from interp.corpus.labels import LabelScan, SpanLabels
from interp.results.errors import BadInput

SUFFIX = ".conllu"
_N_FIELDS = 10


class _Word(NamedTuple):
    """A line of a sentence that has an annotation."""

    columns: tuple[str, ...]
    surface: int
    """Index of the surface token whose characters it stands for."""


class _Sentence(NamedTuple):
    text: str
    surfaces: list[tuple[int, int]]
    """First character of each surface token, and the one after its last."""
    words: list[_Word]


_LABELS: dict[str, Callable[[tuple[str, ...]], str | None]] = {
    "lemma": lambda columns: _given(columns[2]),
    "upos": lambda columns: _given(columns[3]),
    "xpos": lambda columns: _given(columns[4]),
    "feats": lambda columns: _given(columns[5]),
    "deprel": lambda columns: _given(columns[7]),
    "udeprel": lambda columns: _given(columns[7].split(":")[0]),
}


def conllu_source(path: Path, *, labels: tuple[str, ...]) -> Source:
    """The sentences of a treebank, each a document of its text.

    Raises BadInput with file and line for a line that is no CoNLL-U, a word that does not stand
    where the sentence's text says, or a label that treebanks do not have.
    """
    readers = [_reader(name, path) for name in labels]
    offsets, numbers = array("q"), array("q")
    digest, strings = hashlib.sha256(), LabelScan(labels)
    with path.open("rb") as file:
        for offset, number, lines in _blocks(file, digest.update):
            document = _document(lines, number, path, readers)
            strings.add(document.labels, document.where)
            offsets.append(offset)
            numbers.append(number)

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        with path.open("rb") as file:
            for i in range(len(offsets)) if order is None else order:
                file.seek(offsets[i])
                _, _, lines = next(_blocks(file))
                yield _document(lines, numbers[i], path, readers)

    return Source(
        name=str(path),
        digest=digest.hexdigest(),
        n_documents=len(offsets),
        read=read,
        scheme=strings.finish(),
    )


def _reader(name: str, path: Path) -> Callable[[tuple[str, ...]], str | None]:
    if name in _LABELS:
        return _LABELS[name]
    prefix, _, feature = name.partition(".")
    if prefix == "feats" and feature:
        return lambda columns: _feature(columns[5], feature)
    raise BadInput(
        f"{path}: a treebank has no label {name!r}: give {', '.join(_LABELS)} or feats.NAME"
    )


def _given(column: str) -> str | None:
    return None if column == "_" else column


def _feature(feats: str, name: str) -> str | None:
    pairs = (pair.partition("=") for pair in feats.split("|"))
    return next((value for key, _, value in pairs if key == name), None)


def _blocks(
    file: Iterator[bytes], seen: Callable[[bytes], None] = lambda _: None
) -> Iterator[tuple[int, int, list[bytes]]]:
    """Byte offset and line number of every sentence, both from where reading began; its lines."""
    lines: list[bytes] = []
    offset, first, position = 0, 1, 0
    for number, line in enumerate(file, start=1):
        seen(line)
        if line.strip():
            if not lines:
                offset, first = position, number
            lines.append(line)
        elif lines:
            yield offset, first, lines
            lines = []
        position += len(line)
    if lines:
        yield offset, first, lines


def _document(
    lines: list[bytes],
    number: int,
    path: Path,
    readers: Sequence[Callable[[tuple[str, ...]], str | None]],
) -> Document:
    sentence = _sentence(lines, number, path)
    labels = tuple(_spans(sentence, reader) for reader in readers)
    return Document(sentence.text, labels, f"{path}, line {number}")


def _spans(sentence: _Sentence, reader: Callable[[tuple[str, ...]], str | None]) -> SpanLabels:
    """The label of every surface token; None where its words differ."""
    found: dict[int, set[str | None]] = {}
    for word in sentence.words:
        found.setdefault(word.surface, set()).add(reader(word.columns))
    return SpanLabels(
        tuple(
            (*sentence.surfaces[surface], next(iter(values)) if len(values) == 1 else None)
            for surface, values in sorted(found.items())
        )
    )


def _sentence(lines: list[bytes], number: int, path: Path) -> _Sentence:
    """The text of a sentence, from `# text` or put together, and where its words stand in it."""
    text, forms, words, until = None, [], [], 0
    for i, raw in enumerate(lines):
        where = f"{path}, line {number + i}"
        line = _decoded(raw, where)
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            text = value.strip() if key.strip() == "text" else text
            continue
        columns = tuple(line.split("\t"))
        if len(columns) != _N_FIELDS:
            raise BadInput(f"{where} has {len(columns)} columns, CoNLL-U has {_N_FIELDS}")
        first, is_range, last = columns[0].partition("-")
        if "." in columns[0]:
            continue
        if not first.isdigit() or (is_range and not last.isdigit()):
            raise BadInput(
                f"{where} has the word number {columns[0]!r}: 1, 1-2 or 1.1 was expected"
            )
        if is_range:
            forms.append((columns[1], "SpaceAfter=No" in columns[9].split("|"), where))
            until = int(last)
            continue
        if int(first) > until:
            forms.append((columns[1], "SpaceAfter=No" in columns[9].split("|"), where))
        words.append(_Word(columns, len(forms) - 1))
    if text is None:
        text = "".join(form + ("" if no_space else " ") for form, no_space, _ in forms).rstrip()
    return _Sentence(text, _places(text, forms), words)


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8").rstrip("\r\n").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error


def _places(text: str, forms: Sequence[tuple[str, bool, str]]) -> list[tuple[int, int]]:
    """Where each surface token stands, one after the other, spaces passed over."""
    places, at = [], 0
    for form, _, where in forms:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(form, at):
            raise BadInput(
                f"{where}: the word {form!r} does not stand in the sentence's text, where "
                f"{text[at : at + max(len(form), 1)]!r} is: mend the `# text` line, or leave it out"
            )
        places.append((at, at + len(form)))
        at += len(form)
    return places
