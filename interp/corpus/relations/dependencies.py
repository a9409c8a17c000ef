"""Syntactic dependencies: from a word to the words that depend on it.

The head of a triplet is the syntactic head, its tail the dependent: (pen, mod, nice). Every word
but punctuation is an entity whose type is its part of speech, so that a tail can be compared with
other words of its kind.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from interp.corpus.relations.text import RelatedText, TextEntity, TextRelation
from interp.corpus.treebank import Sentence, Word, parse_sentence, sentence_blocks
from interp.results.errors import BadInput

UNIVERSAL: Mapping[str, tuple[str, ...]] = {
    "subj": ("nsubj", "nsubj:pass", "csubj"),
    "obj": ("obj",),
    "mod": ("amod", "advmod", "nummod"),
}
"""Our choice of Universal Dependencies labels; arXiv:2402.13055 names the three and no labels."""

_PUNCTUATION = "PUNCT"
_ROOT = "0"


def read_dependencies(path: Path) -> list[RelatedText]:
    """The sentences of a CoNLL-U file; sentences after one `# newdoc` are one document.

    Raises BadInput with file and line for what is no CoNLL-U, a HEAD that is no word of the
    sentence, and a sentence whose `# text` is not what its words and their SpaceAfter make.
    """
    texts: list[RelatedText] = []
    document, has_marks = -1, False
    with path.open("rb") as file:
        for _, line, lines in sentence_blocks(file):
            sentence = parse_sentence(lines, line, path)
            starts = any(key.split(" ")[0] == "newdoc" for key in sentence.comments)
            has_marks |= starts
            document += 1 if starts or not has_marks or document < 0 else 0
            texts.append(_related(sentence, document, path))
    return texts


def _related(sentence: Sentence, document: int, path: Path) -> RelatedText:
    where = f"{path}, line {sentence.line}"
    if "sent_id" in sentence.comments:
        where += f" (sentence {sentence.comments['sent_id']})"
    if sentence.text.split() != sentence.spaced.split():
        raise BadInput(
            f"{where}: the words and their SpaceAfter make {sentence.spaced!r}, `# text` says "
            f"{sentence.text!r}: mend one of them"
        )
    number = {word.columns[0]: i for i, word in enumerate(sentence.words)}
    for i, word in enumerate(sentence.words, start=1):
        if word.columns[0] != str(i):
            raise BadInput(
                f"{path}, line {word.line} has the word number {word.columns[0]}, not {i}"
            )
    relations = [
        TextRelation(_head(word, number, path), word.columns[7], i)
        for i, word in enumerate(sentence.words)
        if word.columns[6] != _ROOT and word.columns[3] != _PUNCTUATION
    ]
    return with_words(
        sentence.text,
        [
            TextEntity(word.columns[0], word.columns[3], (span,))
            for word, span in zip(sentence.words, sentence.word_spans(), strict=True)
        ],
        relations,
        document=document,
        where=where,
    )


def _head(word: Word, number: Mapping[str, int], path: Path) -> int:
    if (head := word.columns[6]) not in number:
        raise BadInput(
            f"{path}, line {word.line} has the head {head!r}: 0 or the number of a word of the "
            "sentence was expected"
        )
    return number[head]


def with_words(
    text: str,
    words: Sequence[TextEntity],
    relations: Sequence[TextRelation],
    *,
    document: int,
    where: str,
) -> RelatedText:
    """The text with its words but punctuation as entities; relations count all words."""
    kept = [i for i, word in enumerate(words) if word.type != _PUNCTUATION]
    index = {i: new for new, i in enumerate(kept)}
    return RelatedText(
        text,
        tuple(words[i] for i in kept),
        tuple(
            r._replace(head=index[r.head], tail=index[r.tail])
            for r in relations
            if r.head in index and r.tail in index
        ),
        document,
        where,
    )
