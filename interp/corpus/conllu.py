"""CoNLL-U treebanks: a sentence is a document, and its words' annotation labels their characters.

Labels are `upos`, `xpos`, `lemma`, `deprel`, `udeprel` (without its subtype), `feats` (all in one)
and `feats.NAME` of one feature (universaldependencies.org/format.html). A multiword token carries
a label on which its words agree; empty nodes have no characters and carry none.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from interp.corpus.documents import Document, Source
from interp.corpus.labels import LabelScan, SpanLabels
from interp.corpus.treebank import Sentence, parse_sentence, sentence_blocks
from interp.results.errors import BadInput

SUFFIX = ".conllu"

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
        for offset, number, lines in sentence_blocks(file, digest.update):
            document = _document(lines, number, path, readers)
            strings.add(document.labels, document.where)
            offsets.append(offset)
            numbers.append(number)

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        with path.open("rb") as file:
            for i in range(len(offsets)) if order is None else order:
                file.seek(offsets[i])
                _, _, lines = next(sentence_blocks(file))
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


def _document(
    lines: list[bytes],
    number: int,
    path: Path,
    readers: Sequence[Callable[[tuple[str, ...]], str | None]],
) -> Document:
    sentence = parse_sentence(lines, number, path)
    labels = tuple(_spans(sentence, reader) for reader in readers)
    return Document(sentence.text, labels, f"{path}, line {number}")


def _spans(sentence: Sentence, reader: Callable[[tuple[str, ...]], str | None]) -> SpanLabels:
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
