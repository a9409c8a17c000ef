"""RelationCorpus: batches, reversal, halves, random tails; and texts cut to a length."""

from collections import Counter

import numpy as np
import pytest

from interp.corpus import SpecialTokens
from interp.corpus.relations import (
    Entity,
    RelatedSequence,
    RelatedText,
    RelationCorpus,
    TextEntity,
    TextRelation,
    Triplet,
    open_relations,
)
from interp.results.errors import BadInput, Mismatch


def sequence(n, document=0, at=()):
    """Six entities of two types, one token each, and a triplet from the first to the second."""
    entities = tuple(Entity(str(i), "ab"[i % 2], ((i, i + 1),)) for i in range(6))
    return RelatedSequence(np.arange(n), entities, (Triplet(0, 0, 3, at),), document)


def corpus(*sequences):
    return RelationCorpus.from_sequences(sequences, relations=["r"])


def test_batches_hold_every_sequence_in_order_and_padding_nowhere_else():
    lengths = [7, 9, 6, 8, 12]
    found = corpus(*map(sequence, lengths))
    batches = list(found.batches(2))
    assert [b.first for b in batches] == [0, 2, 4]
    assert [b.tokens.shape[1] for b in batches] == [9, 8, 12]
    rows = [
        row[mask] for b in batches for row, mask in zip(b.tokens, b.attention_mask, strict=True)
    ]
    for row, one in zip(rows, found.sequences, strict=True):
        assert np.array_equal(row, one.tokens)


def test_reversing_twice_gives_the_triplets_again():
    found = corpus(sequence(7), sequence(9))
    once = found.reversed()
    assert once.relations == ("r (reversed)",)
    assert [t[:3] for s in once.sequences for t in s.triplets] == [(3, 0, 0)] * 2
    twice = once.reversed()
    assert [s.triplets for s in twice.sequences] == [s.triplets for s in found.sequences]
    assert once.hash != found.hash


def test_halves_share_no_document_and_lose_none():
    found = corpus(*(sequence(7, document=i // 2) for i in range(14)))
    first, second = found.halves(seed=3)
    documents = [{s.document for s in half.sequences} for half in (first, second)]
    assert documents[0] | documents[1] == set(range(7))
    assert not documents[0] & documents[1]
    assert sorted(map(len, documents)) == [3, 4]
    assert len(first.sequences) + len(second.sequences) == 14
    with pytest.raises(BadInput, match="one document"):
        corpus(sequence(7)).halves(seed=0)


def test_random_tails_are_any_entity_of_the_type_equally_often():
    found = corpus(*(sequence(7) for _ in range(600)))
    drawn = Counter(s.triplets[0].tail for s in found.with_random_tails(seed=0).sequences)
    assert set(drawn) == {1, 3, 5}
    assert all(abs(n - 200) < 5 * np.sqrt(600 * 2 / 9) for n in drawn.values())
    # Asked after token 3, when the entity at 5 was not mentioned yet.
    asked = corpus(*(sequence(7, at=(3,)) for _ in range(100))).with_random_tails(seed=0)
    assert {s.triplets[0].tail for s in asked.sequences} == {1, 3}
    assert found.with_random_tails(1).hash == found.with_random_tails(1).hash != found.hash


def test_the_hash_is_of_what_is_fed_and_asked():
    found = corpus(sequence(7))
    renamed = corpus(sequence(7)._replace(text="else"))
    assert found.hash == renamed.hash
    others = [
        sequence(8),
        sequence(7, document=1),
        sequence(7, at=(2,)),
        sequence(7)._replace(triplets=(Triplet(0, 0, 1),)),
    ]
    assert len({corpus(s).hash for s in others} | {found.hash}) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"triplets": (Triplet(0, 1, 3),)}, "sequence 0: .* the 1 relations"),
        ({"triplets": (Triplet(0, 0, 6),)}, "its 6 entities"),
        ({"triplets": (Triplet(0, 0, 3, (7,)),)}, "7 tokens"),
        ({"entities": (Entity("x", "a", ()),)}, "entity 'x' is mentioned at"),
        ({"entities": (Entity("x", "a", ((6, 8),)),)}, "spans of its 7 tokens"),
    ],
)
def test_a_triplet_outside_of_its_sequence_is_refused(change, said):
    with pytest.raises(BadInput, match=said):
        corpus(sequence(7)._replace(**change))


def related(words, *pairs, answers=()):
    """A text of words, each an entity, related in pairs."""
    text = " ".join(words)
    starts = np.cumsum([0] + [len(w) + 1 for w in words]).tolist()
    entities = tuple(
        TextEntity(str(i), "w", ((starts[i], starts[i] + len(w)),)) for i, w in enumerate(words)
    )
    relations = tuple(TextRelation(a, "r", b, tuple(starts[i] for i in answers)) for a, b in pairs)
    return RelatedText(text, entities, relations, 0, "a.jsonl, line 5")


def opened(text, model, **settings):
    return open_relations([text], model, mapping={"r": ["r"]}, **settings)


def test_a_longer_text_goes_on_in_sequences_of_its_own(directories):
    text = related(["pen"] * 10, (0, 1), (1, 2), (5, 6), (9, 0))
    found = opened(text, directories["words"], length=4)
    assert [len(s.tokens) for s in found.sequences] == [4, 4, 2]
    assert [[(t.head, t.tail) for t in s.triplets] for s in found.sequences] == [
        [(0, 1), (1, 2)],
        [(1, 2)],
        [],
    ]
    assert found.dropped == {"r": {"cut apart by the length": 1}}
    assert " ".join((s.text or "").strip() for s in found.sequences) == text.text
    assert [e.mentions for e in found.sequences[1].entities] == [((i, i + 1),) for i in range(4)]


def test_a_triplet_is_where_it_is_asked(directories):
    text = related(["pen"] * 8, (0, 1), (4, 5), answers=(7,))
    found = opened(text, directories["words"], length=4)
    assert [[t.at for t in s.triplets] for s in found.sequences] == [[], [(2,)]]
    assert found.dropped == {"r": {"cut apart by the length": 1}}


def test_a_text_beyond_the_context_is_named_and_so_is_a_length(directories):
    text = related(["pen"] * 65, (0, 1))
    with pytest.raises(BadInput, match="line 5 has 65 tokens and the model's context is 64"):
        opened(text, directories["words"])
    with pytest.raises(BadInput, match="length 65 is more than the model's context of 64"):
        opened(text, directories["words"], length=65)
    assert len(opened(text, directories["words"], length=64).sequences) == 2


def test_a_corpus_passes_through_to_its_own_tokenizer_only(directories):
    found = opened(related(["pen", "pen"], (0, 1)), directories["words"])
    assert open_relations(found, directories["words"]) is found
    with pytest.raises(Mismatch, match="another tokenizer"):
        open_relations(found, directories["byte"])


def test_sources_that_are_none_are_refused(directories, tmp_path):
    for source, said in [
        (3, "a int is no source of relations"),
        (tmp_path / "none.jsonl", "is not a file"),
        (directories["words"] / "config.json", "relations are read from .conllu, .jsonl, .tsv"),
    ]:
        with pytest.raises(BadInput, match=said):
            open_relations(source, directories["words"])


def test_padding_is_the_tokenizer_s_own():
    special = SpecialTokens(pad_id=77)
    found = RelationCorpus.from_sequences(
        [sequence(7), sequence(9)], relations=["r"], special_tokens=special
    )
    (batch,) = found.batches(2)
    assert batch.tokens[0, 7:].tolist() == [77, 77]


def test_a_cut_that_parts_a_question_from_what_it_asks_about_drops_it(directories):
    text, starts = " ".join(["pen"] * 8), range(0, 32, 4)
    spans = [[(starts[i], starts[i] + 3) for i in places] for places in ((0, 5), (1, 7))]
    entities = tuple(TextEntity(str(i), "w", tuple(own)) for i, own in enumerate(spans))
    asked = (TextRelation(0, "r", 1, (starts[7],)),)
    source = RelatedText(text, entities, asked, 0, "a.jsonl, line 5")
    assert opened(source, directories["words"]).n_triplets == 1
    with pytest.raises(BadInput, match="cut apart by the length"):
        opened(source, directories["words"], length=4)
