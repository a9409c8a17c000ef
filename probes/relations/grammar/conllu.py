"""The sentences of documents as CoNLL-U: the text of each, and its tree."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from interp.results.atomic import atomic_file
from probes.relations.document import Document, Sentence


def write_treebank(path: Path, documents: Iterable[Document]) -> int:
    """Write every sentence, document by document; how many there were. Questions are left out."""
    blocks = list(treebank(documents))
    with atomic_file(path) as temporary:
        temporary.write_text("".join(blocks), encoding="utf-8")
    return len(blocks)


def treebank(documents: Iterable[Document]) -> Iterator[str]:
    """The lines of every sentence, the blank one at its end among them."""
    for number, document in enumerate(documents):
        yield from _of(document, number)


def _of(document: Document, number: int) -> Iterator[str]:
    for i, sentence in enumerate(document.sentences):
        first = [f"# newdoc id = {number}"] if i == 0 else []
        words = document.words[sentence.start : sentence.start + len(sentence.upos)]
        heading = [*first, f"# sent_id = {number}-{i + 1}", f"# text = {' '.join(words)}"]
        yield "\n".join([*heading, *_rows(words, sentence)]) + "\n\n"


def _rows(words: tuple[str, ...], sentence: Sentence) -> Iterator[str]:
    columns = zip(words, sentence.upos, sentence.heads, sentence.deprels, strict=True)
    for i, (word, upos, head, deprel) in enumerate(columns, start=1):
        yield "\t".join([str(i), word, word, upos, "_", "_", str(head), deprel, "_", "_"])
