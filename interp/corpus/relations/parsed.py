"""Dependencies from what spaCy or stanza has parsed; neither is imported, nor any model fetched."""

from collections.abc import Mapping
from typing import Any

from interp.corpus.relations.dependencies import with_words
from interp.corpus.relations.text import RelatedText, TextEntity, TextRelation
from interp.results.errors import BadInput

SPACY: Mapping[str, tuple[str, ...]] = {
    "subj": ("nsubj", "nsubjpass", "nsubj:pass", "csubj"),
    "obj": ("dobj", "obj"),
    "mod": ("amod", "advmod", "nummod", "npadvmod"),
}
"""Labels of spaCy's own English models, and of those trained on Universal Dependencies."""


def from_spacy(*docs: Any) -> list[RelatedText]:
    """The sentences of spaCy Docs, each Doc a document; BadInput for a Doc without a parse."""
    texts: list[RelatedText] = []
    for number, doc in enumerate(docs):
        if not hasattr(doc, "has_annotation") or not doc.has_annotation("DEP"):
            raise BadInput(
                f"document {number} is a {type(doc).__name__} without dependencies: parse it with "
                "a spaCy pipeline that has a parser"
            )
        for sentence in doc.sents:
            start, first = sentence.start_char, sentence.start
            words = [
                TextEntity(
                    str(word.i - first),
                    word.pos_ or ("PUNCT" if word.is_punct else "X"),
                    ((word.idx - start, word.idx - start + len(word.text)),),
                )
                for word in sentence
                if not word.is_space
            ]
            place = {word.i: k for k, word in enumerate(w for w in sentence if not w.is_space)}
            relations = [
                TextRelation(place[word.head.i], word.dep_, place[word.i])
                for word in sentence
                if word.head.i != word.i and {word.i, word.head.i} <= place.keys()
            ]
            where = f"document {number}, character {start}"
            texts.append(with_words(sentence.text, words, relations, document=number, where=where))
    return texts


def from_stanza(*docs: Any) -> list[RelatedText]:
    """The sentences of stanza Documents; BadInput for a Document without a parse.

    The words of a multiword token share its characters, unless stanza gives them their own.
    """
    texts: list[RelatedText] = []
    for number, doc in enumerate(docs):
        for sentence in getattr(doc, "sentences", [None]):
            if sentence is None or any(word.head is None for word in sentence.words):
                raise BadInput(
                    f"document {number} is a {type(doc).__name__} without dependencies: parse it "
                    "with a stanza pipeline that has depparse"
                )
            start = sentence.tokens[0].start_char
            stop = sentence.tokens[-1].end_char
            text = doc.text[start:stop]
            words = [
                TextEntity(str(word.id), word.upos or "X", (_characters(word, token, start),))
                for token in sentence.tokens
                for word in token.words
            ]
            relations = [
                TextRelation(word.head - 1, word.deprel, i)
                for i, word in enumerate(sentence.words)
                if word.head
            ]
            where = f"document {number}, character {start}"
            texts.append(with_words(text, words, relations, document=number, where=where))
    return texts


def _characters(word: Any, token: Any, start: int) -> tuple[int, int]:
    of = word if word.start_char is not None else token
    return of.start_char - start, of.end_char - start
