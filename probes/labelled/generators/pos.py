"""Parts of speech: the universal tags of the words of a treebank, a jsonl line a sentence.

`interp capture` reads a .conllu file as it is; this adds a split of its sentences, a bound on their
number, and what the words alone tell of their tags.
"""

from pathlib import Path

import numpy as np

from interp.corpus.conllu import conllu_source
from interp.corpus.documents import Document
from interp.corpus.labels import SpanLabels
from interp.results.errors import BadInput
from probes.labelled.generator import Generator
from probes.labelled.line import TokenLine, share_of

TAGS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)


def pos_lines(seed: int, n: int, file: Path | None) -> list[TokenLine]:
    """At most `n` sentences with the tag of each word, a third of them for the test.

    Sentences of equal text count once. A word that stands for several with different tags has none.
    Raises BadInput where the file is no CoNLL-U, with its line.
    """
    if file is None or not file.is_file():
        raise BadInput(f"pos reads a CoNLL-U file, and --from is {file or 'not given'}")
    source = conllu_source(file, labels=("upos",))
    sentences = list({document.content: document for document in source.read(None)}.values())
    if len(sentences) < 2:
        raise BadInput(f"{file} holds {len(sentences)} sentences: at least two are needed")
    order = np.random.default_rng(seed).permutation(len(sentences))[:n].tolist()
    n_test = max(share_of("test", len(order)), 1)
    return [_line(sentences[number], place < n_test) for place, number in enumerate(order)]


def _line(document: Document, is_test: bool) -> TokenLine:
    (label,) = document.labels
    assert isinstance(label, SpanLabels) and isinstance(document.content, str)
    return TokenLine(
        text=document.content,
        classes=tuple((start, stop, str(tag)) for start, stop, tag in label.spans if tag),
        function="upos",
        split="test" if is_test else "train",
        item=document.content,
    )


GENERATOR = Generator(
    name="pos",
    kind="token class",
    functions=TAGS,
    question="the universal part of speech of each word",
    source="Universal Dependencies, universaldependencies.org; the sentences are the user's",
    file="a CoNLL-U treebank",
    file_required=True,
    make=pos_lines,
)
