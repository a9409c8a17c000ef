"""Documents that spaCy or stanza parsed give what the same trees give as CoNLL-U."""

import pytest

from interp.corpus.relations import from_spacy, from_stanza, open_relations, read_dependencies
from interp.results.errors import BadInput
from tests.corpus.relations.test_dependencies import FIRST, SECOND, shown

WORDS = ["She", "did", "n't", "use", "the", "old", "pen", "."]
SPACES = [True, False, True, True, True, True, False, True]
HEADS = [3, 3, 3, 3, 6, 6, 3, 3]
LABELS = ["nsubj", "aux", "advmod", "ROOT", "det", "amod", "obj", "punct"]
KINDS = ["PRON", "AUX", "PART", "VERB", "DET", "ADJ", "NOUN", "PUNCT"]


@pytest.fixture
def treebank(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text(f"{FIRST}\n\n{SECOND}\n\n", encoding="utf-8")
    return path


def test_a_spacy_doc_gives_the_triplets_of_its_tree(treebank, directories):
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    doc = spacy.tokens.Doc(
        spacy.blank("en").vocab,
        words=WORDS * 2,
        spaces=SPACES * 2,
        heads=HEADS + [head + 8 for head in HEADS],
        deps=LABELS * 2,
        pos=KINDS * 2,
    )
    first, second = from_spacy(doc)
    expected = read_dependencies(treebank)[0]
    assert shown(first) == shown(second) == shown(expected)
    assert first.entities == second.entities
    assert [e[1:] for e in first.entities] == [e[1:] for e in expected.entities]
    assert open_relations([first], directories["byte"], relations=["subj"]).n_triplets == 1


def test_a_spacy_doc_without_a_parser_is_refused():
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed")
    with pytest.raises(BadInput, match="a Doc without dependencies.*has a parser"):
        from_spacy(spacy.blank("en")("She didn't use the old pen."))


def stanza_words():
    rows = zip(WORDS, HEADS, LABELS, KINDS, strict=True)
    return [
        {"id": i, "text": w, "upos": kind, "head": 0 if label == "ROOT" else head + 1}
        | {"deprel": "root" if label == "ROOT" else label}
        for i, (w, head, label, kind) in enumerate(rows, start=1)
    ]


def test_a_stanza_document_gives_the_triplets_of_its_tree(treebank):
    stanza = pytest.importorskip("stanza", reason="stanza is not installed")
    words, at = stanza_words(), 0
    for word, space in zip(words, SPACES, strict=True):
        word["misc"] = f"start_char={at}|end_char={at + len(word['text'])}"
        at += len(word["text"]) + space
    expected = read_dependencies(treebank)[0]
    doc = stanza.Document([words], text=expected.text)
    (found,) = from_stanza(doc)
    assert shown(found) == shown(expected)
    assert found.entities == expected.entities


def test_a_stanza_document_without_a_parse_is_refused():
    stanza = pytest.importorskip("stanza", reason="stanza is not installed")
    words = [{"id": 1, "text": "She", "misc": "start_char=0|end_char=3"}]
    with pytest.raises(BadInput, match="a Document without dependencies.*depparse"):
        from_stanza(stanza.Document([words], text="She"))
