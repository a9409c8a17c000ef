"""CoNLL-U: words on their characters, multiword tokens, empty nodes, and wrong files."""

from pathlib import Path

import numpy as np
import pytest

from interp.corpus import open_corpus
from interp.corpus.conllu import conllu_source
from interp.corpus.labels import SpanLabels
from interp.results.errors import BadInput
from tests.corpus.test_sources import write_byte_tokenizer

PUD = Path("/work/shared/data/ud_pud")
present = pytest.mark.skipif(
    not PUD.is_dir(),
    reason=f"{PUD} is not on this machine",
)
SENTENCES = """# sent_id = 1
# text = Er geht zum Haus.
1\tEr\ter\tPRON\tPPER\tCase=Nom|Number=Sing\t2\tnsubj\t_\t_
2\tgeht\tgehen\tVERB\tVVFIN\t_\t0\troot\t_\t_
3-4\tzum\t_\t_\t_\t_\t_\t_\t_\t_
3\tzu\tzu\tADP\tAPPR\t_\t5\tcase\t_\t_
4\tdem\tder\tDET\tART\tNumber=Sing\t5\tdet\t_\t_
4.1\tleer\tleer\tADJ\t_\t_\t_\t_\t_\t_
5\tHaus\tHaus\tNOUN\tNN\tNumber=Sing\t2\tobl:arg\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t$.\t_\t2\tpunct\t_\t_

1\tJa\tja\tINTJ\t_\t_\t0\troot\t_\tSpaceAfter=No
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_
"""


def source(tmp_path, text=SENTENCES, labels=("upos",)):
    path = tmp_path / "a.conllu"
    path.write_text(text, encoding="utf-8")
    return conllu_source(path, labels=labels)


def spelt(document, label=0):
    spans = document.labels[label]
    assert isinstance(spans, SpanLabels)
    return [(document.content[a:b], value) for a, b, value in spans.spans]


def test_words_stand_on_their_characters_and_empty_nodes_on_none(tmp_path):
    first, second = source(tmp_path).read(None)
    assert first.content == "Er geht zum Haus."
    assert spelt(first) == [
        *(("Er", "PRON"), ("geht", "VERB"), ("zum", None), ("Haus", "NOUN"), (".", "PUNCT"))
    ]
    assert second.content == "Ja!"
    assert spelt(second) == [("Ja", "INTJ"), ("!", "PUNCT")]


def test_every_annotation_can_be_a_label(tmp_path):
    labels = ("deprel", "udeprel", "feats.Number", "feats", "lemma", "xpos")
    first, _ = source(tmp_path, labels=labels).read(None)
    by_word = [dict(spelt(first, i)) for i in range(len(labels))]
    assert [words["Haus"] for words in by_word] == [
        *("obl:arg", "obl", "Sing", "Number=Sing", "Haus", "NN")
    ]
    # zu has no number and dem has one: the word that is both has none to show.
    assert by_word[2]["zum"] is None and by_word[2]["geht"] is None


def test_sentences_can_be_read_in_any_order(tmp_path):
    found = source(tmp_path)
    assert found.n_documents == 2
    forward, backward = list(found.read(None)), list(found.read([1, 0]))
    assert forward == backward[::-1]
    assert forward[1].where.endswith("a.conllu, line 12")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Er geht", "Es geht"), "line 3: the word 'Er' does not stand in the sentence's text"),
        (("\tAPPR\t_", "\tAPPR"), "line 6 has 9 columns, CoNLL-U has 10"),
        (("5\tHaus", "x\tHaus"), "line 9 has the word number 'x'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        source(tmp_path, SENTENCES.replace(*change))


def test_an_unknown_label_is_named_beside_those_there_are(tmp_path):
    with pytest.raises(BadInput, match="no label 'pos': give lemma, upos"):
        source(tmp_path, labels=("pos",))


def test_labels_reach_the_tokens(tmp_path):
    write_byte_tokenizer(tmp_path / "model")
    source(tmp_path)
    corpus = open_corpus(
        tmp_path / "a.conllu", tmp_path / "model", length=20, labels=["upos"], packing="document"
    )
    (batch,) = corpus.batches(4)
    names = corpus.label_values["upos"]
    shown = [[names[c] if c >= 0 else "" for c in row] for row in batch.labels["upos"]]
    assert shown[0][:7] == ["PRON", "PRON", "", "VERB", "VERB", "VERB", "VERB"]
    assert shown[0][8:11] == ["", "", ""]
    assert shown[1][:3] == ["INTJ", "INTJ", "PUNCT"]


@present
@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_a_real_treebank_gives_every_byte_of_a_word_its_word_s_label(tmp_path, language):
    path = PUD / f"{language}_pud-ud-test.conllu"
    write_byte_tokenizer(tmp_path / "model")
    corpus = open_corpus(path, tmp_path / "model", length=512, labels=["upos"], packing="document")
    names = corpus.label_values["upos"]
    assert {"NOUN", "VERB", "PUNCT"} <= set(names)
    found, n_documents = np.zeros(len(names), np.int64), 0
    for batch in corpus.batches(64):
        labels = batch.labels["upos"]
        found += np.bincount(labels[labels >= 0], minlength=len(names))
        n_documents = max(n_documents, int(batch.document.max()) + 1)
    assert n_documents == 1000
    expected = np.zeros(len(names), np.int64)
    # Another reading: the columns of plain lines alone, multiword tokens left out by their range.
    inside = range(0)
    for line in path.read_text(encoding="utf-8").splitlines():
        columns = line.split("\t")
        if len(columns) != 10 or "." in columns[0]:
            inside = range(0) if not line else inside
        elif "-" in columns[0]:
            first, last = map(int, columns[0].split("-"))
            inside = range(first, last + 1)
        elif int(columns[0]) not in inside:
            expected[names.index(columns[3])] += len(columns[1].encode())
    # Words of one multiword token may agree, which only adds.
    assert (found >= expected).all()
    assert found.sum() - expected.sum() < 0.01 * expected.sum()
