"""Dependencies of CoNLL-U files: trees, ranges, empty nodes, documents, and wrong files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.corpus.relations import open_relations, read_dependencies
from interp.corpus.treebank import parse_sentence
from interp.results.errors import BadInput

PUD = Path("/work/shared/data/ud_pud")
STORIES = Path("/work/shared/data/stories260K")
present = pytest.mark.skipif(
    not (PUD.is_dir() and STORIES.is_dir()), reason="the treebanks and the model are not here"
)


def line(number, form, upos, head, deprel, misc="_"):
    return f"{number}\t{form}\t{form.lower()}\t{upos}\t_\t_\t{head}\t{deprel}\t_\t{misc}"


FIRST = "\n".join(
    [
        "# newdoc id = a",
        "# sent_id = a1",
        "# text = She didn't use the old pen.",
        line(1, "She", "PRON", 4, "nsubj"),
        "2-3\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_",
        line(2, "did", "AUX", 4, "aux"),
        line(3, "n't", "PART", 4, "advmod"),
        line(4, "use", "VERB", 0, "root"),
        "4.1\tempty\tempty\tNOUN\t_\t_\t_\t_\t_\t_",
        line(5, "the", "DET", 7, "det"),
        line(6, "old", "ADJ", 7, "amod"),
        line(7, "pen", "NOUN", 4, "obj", "SpaceAfter=No"),
        line(8, ".", "PUNCT", 4, "advmod"),
    ]
)
SECOND = "\n".join(
    [
        "# sent_id = a2",
        line(1, "John", "PROPN", 2, "nsubj:outer"),
        line(2, "wrote", "VERB", 0, "root"),
        "3-4\tzum\t_\t_\t_\t_\t_\t_\t_\t_",
        line(3, "zu", "ADP", 2, "obl"),
        line(4, "dem", "DET", 3, "advmod"),
    ]
)


@pytest.fixture
def treebank(tmp_path):
    def write(*sentences):
        path = tmp_path / "a.conllu"
        path.write_text("\n\n".join(sentences) + "\n\n", encoding="utf-8")
        return path

    return write


def shown(text):
    """Its relations as words."""

    def words(i):
        return "+".join(text.text[a:b] for a, b in text.entities[i].spans)

    return [(words(r.head), r.name, words(r.tail)) for r in text.relations]


def test_a_triplet_goes_from_a_word_to_its_dependent_and_never_to_punctuation(treebank):
    first, second = read_dependencies(treebank(FIRST, SECOND))
    assert shown(first) == [
        ("use", "nsubj", "She"),
        ("use", "aux", "did"),
        ("use", "advmod", "n't"),
        ("pen", "det", "the"),
        ("pen", "amod", "old"),
        ("use", "obj", "pen"),
    ]
    assert [e.type for e in first.entities][:3] == ["PRON", "AUX", "PART"]
    # zu + dem are not the characters of zum, so both words are all of it.
    assert shown(second)[-1] == ("zum", "advmod", "zum")


def test_sentences_after_one_mark_are_one_document_and_without_marks_each_is_one(treebank):
    marked = read_dependencies(treebank(FIRST, SECOND, FIRST, SECOND))
    assert [s.document for s in marked] == [0, 0, 1, 1]
    assert [s.document for s in read_dependencies(treebank(SECOND, SECOND))] == [0, 1]


def test_labels_count_as_three_relations_unless_told(treebank, directories):
    path = treebank(FIRST, SECOND)
    corpus = open_relations(path, directories["byte"], min_coverage=0.0, relations=["subj", "obj"])
    assert corpus.n_triplets_found == {"subj": 1, "obj": 1}
    told = open_relations(
        path, directories["byte"], mapping={"subject": ["nsubj", "nsubj:outer"], "d": ["det"]}
    )
    assert told.relations == ("subject", "d")
    assert told.n_triplets_found == {"subject": 2, "d": 1}
    (sequence, _) = told.sequences
    head, _, tail, _ = sequence.triplets[0]
    assert (sequence.entities[head].id, sequence.entities[tail].id) == ("4", "1")


def test_words_that_cannot_be_told_apart_are_counted_by_their_reason(treebank, directories):
    corpus = open_relations(treebank(FIRST, SECOND), directories["byte"], min_coverage=0.0)
    assert corpus.n_triplets_found["mod"] == 3
    assert corpus.dropped["mod"] == {
        "a token shared with another word": 1,
        "head and tail on the same tokens": 1,
    }
    assert corpus.coverage["mod"] == pytest.approx(1 / 3)
    with pytest.raises(BadInput, match="only 33% of the 3 pairs of the relation 'mod'.*1: a token"):
        open_relations(treebank(FIRST, SECOND), directories["byte"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("PRON\t_\t_\t4", "PRON\t_\t_\t9"), "line 4 has the head '9'"),
        (("PRON\t_\t_\t4", "PRON\t_\t_\t_"), "line 4 has the head '_'"),
        (("\t7\tamod", "\tamod"), "line 11 has 9 columns"),
        (("6\told", "5\told"), "line 11 has the word number 5, not 6"),
        (("old pen.", "old pen ."), r"line 1 \(sentence a1\): the words and their SpaceAfter make"),
        (("She didn't", "He didn't"), "line 4: the word 'She' does not stand"),
    ],
)
def test_a_wrong_line_is_named(treebank, change, said):
    assert change[0] in FIRST
    with pytest.raises(BadInput, match=said):
        read_dependencies(treebank(FIRST.replace(*change)))


def test_a_relation_that_the_treebank_lacks_is_named(treebank, directories):
    with pytest.raises(BadInput, match="no pair of the relation 'x': leave it out"):
        open_relations(treebank(FIRST), directories["byte"], mapping={"x": ["iobj"]})
    with pytest.raises(BadInput, match="has no relation 'objects': it has subj, obj, mod"):
        open_relations(treebank(FIRST), directories["byte"], relations=["objects"])
    with pytest.raises(BadInput, match="'det' counts as two relations"):
        open_relations(
            treebank(FIRST), directories["byte"], mapping={"a": ["det"], "b": ["obj", "det"]}
        )


FORMS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C", "Cs")), min_size=1, max_size=4
)


@given(words=st.lists(st.tuples(FORMS, st.booleans(), st.integers(0, 9)), min_size=1))
def test_a_tree_that_was_written_is_read_again(words):
    n = len(words)
    heads = [head % (n + 1) for *_, head in words]
    text = "".join(form + ("" if glued else " ") for form, glued, _ in words).strip()
    lines = [f"# text = {text}"] + [
        line(i, form, "NOUN", head, "dep", "SpaceAfter=No" if glued else "_")
        for i, ((form, glued, _), head) in enumerate(zip(words, heads, strict=True), start=1)
    ]
    found = parse_sentence([f"{one}\n".encode() for one in lines], 1, Path("a.conllu"))
    assert found.spaced == found.text == text
    assert [word.columns[1] for word in found.words] == [form for form, *_ in words]
    assert [int(word.columns[6]) for word in found.words] == heads
    assert [text[a:b] for a, b in found.word_spans()] == [form for form, *_ in words]


@present
@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_a_real_treebank_s_triplets_are_those_of_its_lines(language):
    path = PUD / f"{language}_pud-ud-test.conllu"
    corpus = open_relations(path, STORIES, relations=["subj", "obj"])
    rows = [one.split("\t") for one in path.read_text(encoding="utf-8").splitlines()]
    labels = [r[7] for r in rows if len(r) == 10 and r[6] != "_" and r[3] != "PUNCT"]
    assert corpus.n_triplets_found == {
        "subj": sum(label in ("nsubj", "nsubj:pass", "csubj") for label in labels),
        "obj": labels.count("obj"),
    }
    assert min(corpus.coverage.values()) > 0.99
    assert len(corpus.sequences) == 1000
