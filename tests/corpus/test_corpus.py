"""Corpus: the same sequences however they are read, and the truth about every token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.corpus import Corpus, SpecialTokens, TokenBatch
from interp.results.errors import BadInput

SPECIAL = SpecialTokens(bos_id=1, eos_id=2, pad_id=0, special_ids=(0, 1, 2))


def ready(n: int = 7, length: int = 5, **settings) -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus.from_tokens(rng.integers(3, 50, (n, length)), **settings)


def whole(corpus: Corpus, batch_size: int = 100, start: int = 0) -> dict[str, np.ndarray]:
    batches = list(corpus.batches(batch_size, start=start))
    fields = ("tokens", "attention_mask", "special", "bos", "document", "position", "sequence")
    columns = {name: np.concatenate([getattr(b, name) for b in batches]) for name in fields}
    labels = {n: np.concatenate([b.labels[n] for b in batches]) for n in batches[0].labels}
    return columns | labels


@given(st.integers(1, 9), st.integers(0, 6))
def test_neither_batch_size_nor_start_changes_what_a_sequence_holds(batch_size: int, start: int):
    corpus = ready(labels={"part": np.arange(35.0).reshape(7, 5)})
    expected, found = whole(corpus), whole(corpus, batch_size, start)
    for name, column in expected.items():
        assert np.array_equal(found[name], column[start:]), name


def test_reading_twice_gives_the_same_and_reading_past_the_end_gives_nothing():
    corpus = ready()
    assert np.array_equal(whole(corpus)["tokens"], whole(corpus)["tokens"])
    assert list(corpus.batches(4, start=7)) == []
    assert [len(batch.sequence) for batch in corpus.batches(4)] == [4, 3]


def test_padding_has_no_document_no_flag_and_no_label():
    mask = np.array([[True, True, True, True], [True, True, False, False]])
    corpus = Corpus.from_tokens(
        np.array([[1, 5, 2, 6], [1, 2, 0, 0]]),
        attention_mask=mask,
        special_tokens=SPECIAL,
        labels={"kind": np.full((2, 4), 7), "share": np.full((2, 4), 0.5)},
    )
    (batch,) = corpus.batches(2)
    assert np.array_equal(batch.attention_mask, mask)
    assert batch.document.tolist() == [[0, 0, 0, 0], [1, 1, -1, -1]]
    assert batch.labels["kind"].tolist() == [[7, 7, 7, 7], [7, 7, -1, -1]]
    assert np.isnan(batch.labels["share"][1, 2:]).all()
    assert batch.special.tolist() == [[True, False, True, False], [True, True, False, False]]
    assert batch.bos.tolist() == [[True, False, False, False], [True, False, False, False]]
    assert batch.tokens[1, 2:].tolist() == [0, 0]


def test_a_padding_id_inside_text_is_a_special_token_and_not_padding():
    corpus = Corpus.from_tokens(np.array([[5, 0, 6]]), special_tokens=SPECIAL)
    (batch,) = corpus.batches(1)
    assert batch.attention_mask.all()
    assert batch.special.tolist() == [[False, True, False]]


def test_where_eos_is_also_bos_only_the_first_position_is_bos():
    special = SpecialTokens(bos_id=9, eos_id=9, pad_id=9, special_ids=(9,))
    corpus = Corpus.from_tokens(np.array([[9, 5, 9, 6]]), special_tokens=special)
    (batch,) = corpus.batches(1)
    assert batch.bos.tolist() == [[True, False, False, False]]
    assert batch.special.tolist() == [[True, False, True, False]]


def test_a_bos_id_of_zero_is_a_bos():
    special = SpecialTokens(bos_id=0, eos_id=2, special_ids=(0, 2))
    (batch,) = Corpus.from_tokens(np.array([[0, 5]]), special_tokens=special).batches(1)
    assert batch.bos.tolist() == [[True, False]]


def test_without_special_tokens_nothing_is_special():
    (batch,) = Corpus.from_tokens(np.array([[0, 1, 2]])).batches(1)
    assert not batch.special.any()
    assert not batch.bos.any()


def test_the_hash_follows_everything_that_is_fed():
    tokens = np.arange(12).reshape(3, 4)
    mask = np.ones((3, 4), bool)
    shorter = mask.copy()
    shorter[2, 3] = False
    other = tokens.copy()
    other[0, 0] = 9
    variants = [
        Corpus.from_tokens(tokens),
        Corpus.from_tokens(other),
        Corpus.from_tokens(tokens.reshape(4, 3)),
        Corpus.from_tokens(tokens, attention_mask=shorter),
        Corpus.from_tokens(tokens, document=np.zeros((3, 4), np.int64)),
        Corpus.from_tokens(tokens, labels={"a": tokens}),
        Corpus.from_tokens(tokens, labels={"b": tokens}),
        Corpus.from_tokens(tokens, special_tokens=SPECIAL),
    ]
    assert len({corpus.hash for corpus in variants}) == len(variants)
    assert Corpus.from_tokens(tokens.copy(), attention_mask=mask).hash == variants[0].hash


@pytest.mark.parametrize("wrong", [-1, 50])
def test_an_id_outside_the_vocabulary_is_refused_with_its_place(wrong: int):
    tokens = np.full((3, 4), 5)
    tokens[2, 1] = wrong
    with pytest.raises(BadInput, match=rf"id {wrong} \(sequence 2, position 1\).* 50 entries"):
        Corpus.from_tokens(tokens, d_vocab=50)


def test_an_empty_array_and_padding_in_the_middle_are_refused():
    with pytest.raises(BadInput, match="no token"):
        Corpus.from_tokens(np.zeros((0, 4), np.int64))
    for mask in ([[True, False, True]], [[False, True, True]], [[False, False, False]]):
        with pytest.raises(BadInput, match="padding"):
            Corpus.from_tokens(np.array([[4, 5, 6]]), attention_mask=np.array(mask))


@pytest.mark.parametrize(("batch_size", "start"), [(0, 0), (-1, 0), (1, -1)])
def test_a_batch_of_nothing_is_refused(batch_size: int, start: int):
    with pytest.raises(BadInput, match="batch_size"):
        next(ready().batches(batch_size, start=start))


def test_a_batch_whose_columns_differ_in_shape_cannot_be_made():
    (batch,) = ready(n=2).batches(2)
    fields = {name: getattr(batch, name) for name in TokenBatch.__dataclass_fields__}
    with pytest.raises(Exception, match="document"):
        TokenBatch(**{**fields, "document": batch.document[:, :-1]})
