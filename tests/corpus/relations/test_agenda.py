"""AGENDA: placeholders as names or letters, relations by number, and wrong rows."""

import pytest

from interp.corpus.relations import open_relations, read_agenda
from interp.corpus.relations.agenda import LETTERS
from interp.results.errors import BadInput

ROW = (
    "A title .\told pen ; letter ; use of a pen ; ghost\t<method> <material> <task> <task>\t"
    "0 0 2 ; 1 6 0 ; 2 1 2 ; 3 3 0\t"
    "the <method_0> and a <material_1> for <task_2> . the <method_0> wrote .\t0 1 -1\n"
)


def table(tmp_path, *rows):
    path = tmp_path / "a.tsv"
    path.write_text("".join(rows))
    return path


def test_names_stand_where_the_placeholders_were(tmp_path):
    (text,) = read_agenda(table(tmp_path, ROW))
    assert text.text == "the old pen and a letter for use of a pen . the old pen wrote ."
    assert [[text.text[a:b] for a, b in e.spans] for e in text.entities] == [
        ["old pen", "old pen"],
        ["letter"],
        ["use of a pen"],
        [],
    ]
    assert [e.type for e in text.entities] == ["method", "material", "task", "task"]
    assert [(r.head, r.name, r.tail) for r in text.relations] == [
        (0, "USED-FOR", 2),
        (1, "HYPONYM-OF", 0),
        (2, "CONJUNCTION", 2),
        (3, "PART-OF", 0),
    ]


def test_letters_differ_from_text_to_text_and_within_one(tmp_path):
    texts = read_agenda(table(tmp_path, *[ROW] * 20), naming="letters", seed=1)
    drawn = [[t.text[slice(*e.spans[0])] for e in t.entities if e.spans] for t in texts]
    assert all(len(set(d)) == 3 and set(d) <= set(LETTERS) for d in drawn)
    assert len({tuple(d) for d in drawn}) > 10
    assert any(d != sorted(d) for d in drawn)
    again = read_agenda(table(tmp_path, *[ROW] * 20), naming="letters", seed=1)
    assert texts == again


def test_what_cannot_be_used_is_counted(tmp_path, directories):
    many = " ; ".join(f"e{i}" for i in range(21))
    row = f"t\t{many}\t{' <task>' * 21}\t0 0 1\t<task_0> <task_1>\t0\n"
    corpus = open_relations(
        table(tmp_path, ROW, row),
        directories["byte"],
        naming="letters",
        min_coverage=0.0,
        relations=["USED-FOR", "HYPONYM-OF"],
    )
    assert corpus.dropped["USED-FOR"] == {"more entities than letters": 1}
    assert len(corpus.sequences) == 1
    with pytest.raises(BadInput, match="'CONJUNCTION' is on tokens \\(1: head and tail are one"):
        open_relations(table(tmp_path, ROW), directories["byte"], min_coverage=0.0)
    with pytest.raises(BadInput, match="1: an entity that is not mentioned"):
        open_relations(table(tmp_path, ROW), directories["byte"], relations=["PART-OF"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("<task_2>", "<task_4>"), "line 2: <task_4> is not among its 4 entities"),
        (("1 6 0", "1 7 0"), "line 2: the triple '1 7 0' is outside"),
        (("1 6 0", "1 0"), "line 2: the triple '1 0' is not three numbers"),
        (("; ghost", ""), "line 2 has 3 entities and 4 types"),
        (("\t", " "), "line 2 has 1 columns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        read_agenda(table(tmp_path, ROW, ROW.replace(*change)))
