"""Documents: what they say of themselves is what a reader of the words alone finds."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from interp.corpus.relations import open_relations
from interp.models.reference import BUNDLED
from probes.relations import WORLDS, Document, draw_documents, relation_corpus, write_documents
from probes.relations.batches import encode
from probes.relations.grammar.conllu import write_treebank
from probes.relations.grammar.documents import LENGTH, draw_primer, label_document
from probes.relations.grammar.labels import KINDS, draw_glossary
from probes.relations.grammar.tasks import icl_tasks
from probes.relations.grammar.words import CATEGORIES, DEPENDENCIES, NAMES, PREDICATES
from probes.relations.static import PERSONS, RELATIONS, TOWNS, truth

CUES = {cue: relation for relation, cue in DEPENDENCIES.items()}
CUES |= {words[2]: relation for relation, words in PREDICATES.items()}


def told(document: Document) -> dict[tuple[str, str], str]:
    """(relation, head) -> tail, by rules on the words: a determiner begins a phrase."""
    facts: dict[tuple[str, str], str] = {}
    words = list(document.words)
    i = 0
    while i < len(words):
        if words[i] in CUES:
            i += 3
        elif words[i] in ("the", "a"):
            i = _read_sentence(words, i, facts)
        else:
            first, predicate, last = words[i : i + 3]
            [(relation, forward)] = [
                (r, predicate == w[0]) for r, w in PREDICATES.items() if predicate in w[:2]
            ]
            head, tail = (first, last) if forward else (last, first)
            facts[relation, head] = tail
            i += 3
    return facts


def _read_sentence(words: list[str], i: int, facts: dict[tuple[str, str], str]) -> int:
    nouns: dict[str, str] = {}
    verb = ""
    for part in range(3):
        if part == 1:
            verb, i = words[i], i + 1
            continue
        determiner = words[i]
        modifier = words[i + 1] if words[i + 2 : i + 3] and words[i + 2] in NAMES else None
        i += 2 + (modifier is not None)
        nouns[determiner] = words[i - 1]
        if modifier is not None:
            facts["mod", words[i - 1]] = modifier
    facts["subj", verb], facts["obj", verb] = nouns["the"], nouns["a"]
    return i


def questions(document: Document) -> list[tuple[str, str, str]]:
    """Relation, head and answer of every question, in their order."""
    words = document.words
    return [(CUES[w], words[i + 1], words[i + 2]) for i, w in enumerate(words) if w in CUES]


def test_every_question_of_the_grammar_is_answered_by_what_was_told():
    for document in draw_documents("grammar", n=60, seed=1):
        facts = told(document)
        asked = questions(document)
        assert all(facts[relation, head] == answer for relation, head, answer in asked)
        said = {
            (place, f.relation, document.entities[f.head].id, document.entities[f.tail].id)
            for f in document.asked
            for place in f.asked
        }
        places = [i + 2 for i, word in enumerate(document.words) if word in CUES]
        assert said == {(p, *q) for p, q in zip(places, asked, strict=True)}


def test_no_name_is_in_two_sentences_and_both_orders_are_told():
    orders = Counter()
    for document in draw_documents("grammar", n=60, seed=1):
        nouns = Counter(
            document.words[s.start + i]
            for s in document.sentences
            for i, upos in enumerate(s.upos)
            if upos in ("NOUN", "ADJ")
        )
        assert set(nouns) <= set(NAMES)
        assert max(nouns.values(), default=1) == 1
        first = {e.id: e.places[0] for e in document.entities}
        for f in document.asked:
            head, tail = (document.entities[i].id for i in (f.head, f.tail))
            orders[f.relation, first[head] < first[tail]] += 1
    for relation in ("subj", "obj", *PREDICATES):
        shares = [orders[relation, order] for order in (False, True)]
        assert min(shares) > 0.3 * sum(shares), relation


def test_the_control_is_right_no_more_often_than_chance_among_the_words_of_the_type():
    right, chance = [], []
    for document in draw_documents("control", n=60, seed=1):
        facts = told(document)
        types = {e.id: e.type for e in document.entities}
        first = {e.id: e.places[0] for e in document.entities}
        places = [i + 2 for i, word in enumerate(document.words) if word in CUES]
        for place, (relation, head, answer) in zip(places, questions(document), strict=True):
            tail = facts[relation, head]
            assert types[answer] == types[tail]
            right.append(answer == tail)
            chance.append(1 / sum(types[e] == types[tail] and first[e] < place for e in types))
    assert np.mean(right) == pytest.approx(np.mean(chance), abs=0.02)


def test_a_binding_document_says_who_owns_what_before_it_asks():
    for document in draw_documents("binding", n=20, seed=1):
        owned = dict(zip(document.words[1:12:2], document.words[0:12:2], strict=True))
        asked = [document.words[i : i + 3] for i in range(12, len(document.words), 3)]
        assert len(asked) == 8
        assert all(cue == "ask" and owned[owner] == value for cue, owner, value in asked)


def test_a_static_document_says_the_persons_town_which_its_menu_shows():
    towns = truth()
    for document in draw_documents("static", n=20, seed=1):
        for i in range(8, len(document.words), 6):
            person, relation, town = (document.words[i + k] for k in (0, 3, 4))
            assert TOWNS[towns[RELATIONS.index(relation), PERSONS.index(person)]] == town
            assert town in document.words[:8]
    assert all(sorted(row) == list(range(len(TOWNS))) for row in towns.tolist())


def test_a_primer_asks_only_what_is_told_tail_first():
    rng = np.random.default_rng(0)
    vocabulary = WORLDS["grammar"].vocabulary
    for document in (draw_primer(rng) for _ in range(30)):
        assert len(vocabulary.encode(document.words)[0]) <= 40
        assert questions(document)
        for fact in document.asked:
            head, tail = document.entities[fact.head], document.entities[fact.tail]
            assert head.places[0] - 2 <= tail.places[0] < head.places[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_a_function_of_the_categories_within_a_task(kind: str):
    category = {word: name for name, words in CATEGORIES.items() for word in words}
    document = label_document(np.random.default_rng(0), kind)
    size = 3 if kind == "single" else 5
    rows = [document.words[p - size + 1 : p + 1] for p in document.labels[:6]]
    labels: dict[tuple[str, ...], set[str]] = {}
    for *words, colon, label in rows:
        assert colon == ":"
        key = tuple(category[word] for word in words if word != ",")
        labels.setdefault(key, set()).add(label)
    assert all(len(of) == 1 for of in labels.values())


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_seed_draws_the_same_documents_and_the_tokenizer_reads_them_alike(name: str):
    world = WORLDS[name]
    one, other = (draw_documents(name, n=8, seed=3) for _ in range(2))
    assert one == other != draw_documents(name, n=8, seed=4)
    tokenizer = world.vocabulary.tokenizer()
    for document in one:
        tokens, starts = world.vocabulary.encode(document.words)
        read = tokenizer.encode(document.text)
        assert read.ids == tokens
        assert len(tokens) <= world.n_ctx
        offsets = [read.offsets[start][0] for start in starts]
        assert offsets == [first for first, _ in document.characters()]


def test_some_words_are_two_tokens():
    vocabulary = WORLDS["grammar"].vocabulary
    assert len(vocabulary.split) == 5
    assert all(len(vocabulary.ids[word]) == 2 for word in vocabulary.split)
    assert all("".join(parts) == word for word, parts in vocabulary.split.items())
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)


@pytest.mark.parametrize("name", ["static", "binding", "grammar"])
def test_jsonl_opens_as_the_same_sequences_as_the_documents_themselves(name: str, tmp_path: Path):
    path = tmp_path / "relations.jsonl"
    assert write_documents(path, draw_documents(name, n=12, seed=0)) == 12
    model = BUNDLED / "relations" / name
    opened = open_relations(path, str(model))
    direct = relation_corpus(name, n=12, seed=0)
    assert set(opened.relations) == set(direct.relations)
    assert opened.tokenizer_digest == direct.tokenizer_digest
    order = [opened.relations.index(r) for r in direct.relations]
    for read, meant in zip(opened.sequences, direct.sequences, strict=True):
        assert read.tokens.tolist() == meant.tokens.tolist()
        assert read.entities == meant.entities
        named = [t._replace(relation=order[t.relation]) for t in meant.triplets]
        assert sorted(read.triplets) == sorted(named)


def test_a_tail_is_the_token_after_every_position_at_which_it_is_asked():
    corpus = relation_corpus("grammar", n=12, seed=0)
    for sequence in corpus.sequences:
        assert sequence.triplets
        for triplet in sequence.triplets:
            starts = {start for start, _ in sequence.entities[triplet.tail].mentions}
            assert triplet.at
            assert {position + 1 for position in triplet.at} <= starts


def test_the_treebank_holds_the_dependencies_that_the_questions_ask(tmp_path: Path):
    documents = draw_documents("grammar", n=5, seed=0)
    path = tmp_path / "grammar.conllu"
    n_sentences = write_treebank(path, documents)
    corpus = open_relations(path, str(BUNDLED / "relations" / "grammar"))
    assert len(corpus.sequences) == n_sentences == sum(len(d.sentences) for d in documents)
    found = {
        (corpus.relations[t.relation], s.entities[t.head].mentions, s.entities[t.tail].mentions)
        for s in corpus.sequences[: len(documents[0].sentences)]
        for t in s.triplets
    }
    facts = [f for f in told(documents[0]) if f[0] in DEPENDENCIES]
    assert len(facts) == sum(
        len(s.triplets) for s in corpus.sequences[: len(documents[0].sentences)]
    )
    assert {relation for relation, _, _ in found} == {relation for relation, _ in facts}


def test_padding_is_no_answer_and_a_document_ends_at_the_length():
    documents = draw_documents("grammar", n=4, seed=0)
    tokens, answers = encode(documents, WORLDS["grammar"].vocabulary, length=LENGTH)
    assert tokens.shape == (4, LENGTH)
    assert not answers[tokens == 0].any()
    short = encode(documents, WORLDS["grammar"].vocabulary, length=40)
    assert np.array_equal(short.tokens, tokens[:, :40])
    assert np.array_equal(short.answers, answers[:, :40])


def test_a_glossary_says_the_category_of_every_word():
    category = {word: name for name, words in CATEGORIES.items() for word in words}
    document = draw_glossary(np.random.default_rng(0), LENGTH)
    assert len(document.labels) == 31
    assert all(category[document.words[p - 2]] == document.words[p] for p in document.labels)


def test_the_label_tasks_are_of_words_and_labels_of_one_token():
    tasks = icl_tasks()
    ids = WORLDS["grammar"].vocabulary.ids
    words = [word for of in tasks["categories"].values() for word in of]
    labels = {rule[-1] for task in tasks["tasks"] for rule in task["rules"]}
    assert all(len(ids[word]) == 1 for word in (*words, *labels))
    assert all(len(of) >= 12 for of in tasks["categories"].values())
    assert [len(task["rules"]) for task in tasks["tasks"]] == [2, 2, 4, 9, 6, 6]
    assert json.loads(json.dumps(tasks)) == tasks
