"""Triples in jsonl: mentions, answers, documents, and wrong lines."""

import json

import pytest

from interp.corpus.relations import open_relations, read_triples
from interp.results.errors import BadInput

TEXT = "the pen is for writing. pen: writing"
ENTRY = {
    "text": TEXT,
    "entities": [
        {"id": "p", "type": "tool", "spans": [[4, 7], [24, 27]]},
        {"id": 2, "type": "task", "spans": [[15, 22], [29, 36]]},
        {"id": "the", "type": "tool", "spans": [[0, 3]]},
    ],
    "relations": [["p", "used-for", 2, [29]], [2, "needs", "p"]],
}


@pytest.fixture
def lines(tmp_path):
    def write(*entries):
        path = tmp_path / "a.jsonl"
        path.write_text("".join(e if isinstance(e, str) else json.dumps(e) + "\n" for e in entries))
        return path

    return write


def test_mentions_answers_and_documents_become_tokens(lines, directories):
    path = lines({**ENTRY, "document": "x"}, ENTRY, {**ENTRY, "document": "x"})
    corpus = open_relations(path, directories["byte"])
    assert corpus.relations == ("needs", "used-for")
    assert corpus.types == ("task", "tool")
    assert [s.document for s in corpus.sequences] == [0, 1, 0]
    sequence = corpus.sequences[0]
    asked, plain = sorted(sequence.triplets, key=lambda t: -len(t.at))
    pen, writing, _ = sequence.entities
    assert (asked.head, asked.tail, corpus.relations[asked.relation]) == (0, 1, "used-for")
    assert plain == (1, 0, 0, ())
    # The answer is asked for where its first token is next.
    assert asked.at == (writing.mentions[1][0] - 1,)
    assert len(pen.mentions) == len(writing.mentions) == 2


def test_with_bos_every_position_is_one_further(lines, tokenizers, tmp_path, directories):
    from tests.corpus.relations.conftest import write_model

    framed = write_model(tmp_path / "model", tokenizers["byte"], bos_token="the")
    path = lines(ENTRY)
    with_bos = open_relations(path, framed, add_bos=True).sequences[0]
    without = open_relations(path, directories["byte"]).sequences[0]
    assert len(with_bos.tokens) == len(without.tokens) + 1
    assert [t.at for t in with_bos.triplets] == [
        tuple(i + 1 for i in t.at) for t in without.triplets
    ]
    assert [e.mentions for e in with_bos.entities] == [
        tuple((a + 1, b + 1) for a, b in e.mentions) for e in without.entities
    ]


def without(name):
    return {key: value for key, value in ENTRY.items() if key != name}


def entity(**change):
    return {**ENTRY, "entities": [{**ENTRY["entities"][0], **change}, *ENTRY["entities"][1:]]}


def relation(*items):
    return {**ENTRY, "relations": [list(items)]}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{not json\n", "line 2 is not JSON"),
        ("[1]\n", "line 2 is a JSON list"),
        (without("text"), "line 2: field 'text' must be a str"),
        (without("relations"), "line 2: field 'relations' must be a list"),
        ({**ENTRY, "document": [1]}, "line 2: `document` is"),
        (entity(spans=[[4, 99]]), r"line 2: the span \[4, 99\].*end at most 36"),
        (entity(spans=[[7, 4]]), "line 2: the span"),
        (entity(spans=[[4, 5.5]]), "line 2: the span"),
        (entity(spans=[[3, 4]]), "holds blanks only"),
        (entity(spans=[]), "line 2: entity 'p' has no spans"),
        (entity(id=2), "line 2: two entities have the id '2'"),
        (entity(id=""), "line 2: '' is no name"),
        ({**ENTRY, "entities": [{"id": 1}]}, "needs id, type and spans"),
        (relation("p", "r", "q"), "names 'q', no entity has that id"),
        (relation("p", "r", "p"), "of an entity with itself"),
        (relation("p", "r"), r"is not \[head, relation, tail\]"),
        (relation("p", "r", 2, [36]), "not characters of the text, 0 to 35"),
        (relation("p", "r", 2, 7), "not characters of the text"),
    ],
)
def test_a_wrong_line_is_named(lines, entry, said):
    with pytest.raises(BadInput, match=said):
        read_triples(lines(ENTRY, entry))


def test_half_a_character_is_no_text(lines):
    with pytest.raises(BadInput, match="line 1 holds the lone surrogate"):
        read_triples(lines({**ENTRY, "text": TEXT + "\ud800"}))


def test_triplets_without_a_token_for_their_answer_are_counted(lines, directories):
    first, inside = ENTRY["entities"][0]["spans"][0][0] - 4, 25
    entries = [
        relation("p", "r", 2, [first]),
        relation("p", "r", 2, [inside]),
        relation("p", "r", 2),
    ]
    corpus = open_relations(lines(*entries), directories["words"], min_coverage=0.3)
    assert corpus.dropped == {"r": {"no token begins where the answer does": 2}}


def test_a_relation_without_any_pair_on_tokens_is_named_with_its_reasons(lines, directories):
    cut = entity(spans=[[5, 7]])
    message = "none of the 1 pairs of the relation 'needs'.*1: a token shared with another word"
    with pytest.raises(BadInput, match=message):
        open_relations(lines(cut), directories["words"], min_coverage=0.0)
    with pytest.raises(BadInput, match="no relation at all"):
        open_relations(lines({**ENTRY, "relations": []}), directories["words"])
