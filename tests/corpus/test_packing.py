"""Packing: every token in exactly one row, whatever the documents and the row length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.corpus.packing import Frame, Row, TokenDocument, one_a_row, pack
from interp.results.errors import BadInput

NOTHING = Frame((), (), ())
documents = st.lists(st.lists(st.integers(10, 99), max_size=12), max_size=8)


def as_documents(texts: list[list[int]]) -> list[TokenDocument]:
    return [
        TokenDocument(i, np.array(ids, dtype=np.int64), (i * 10, i / 4))
        for i, ids in enumerate(texts)
    ]


def flat(rows: list[Row]) -> list[int]:
    return [int(token) for row in rows for token in row.tokens]


@given(documents, st.integers(1, 9))
def test_packed_rows_are_the_documents_end_to_end(texts: list[list[int]], length: int):
    rows = list(pack(as_documents(texts), length=length, frame=NOTHING))
    assert flat(rows) == [token for ids in texts for token in ids]
    assert all(len(row.tokens) == length for row in rows[:-1])
    assert all(0 < len(row.tokens) <= length for row in rows)


@given(documents, st.integers(3, 9))
def test_what_is_put_around_text_comes_off_again(texts: list[list[int]], length: int):
    rows = list(pack(as_documents(texts), length=length, frame=Frame((1,), (), (2,))))
    assert all(row.tokens[0] == 1 for row in rows)
    inner = [int(token) for row in rows for token in row.tokens[1:]]
    assert inner == [token for ids in texts if ids for token in [*ids, 2]]


@given(documents, st.integers(3, 9))
def test_each_token_knows_its_document_and_its_labels(texts: list[list[int]], length: int):
    for arrange in (pack, one_a_row):
        seen: dict[int, list[int]] = {}
        for row in arrange(as_documents(texts), length=length, frame=NOTHING):
            for token, number, whole, part in zip(
                row.tokens, row.document, *row.labels, strict=True
            ):
                seen.setdefault(int(number), []).append(int(token))
                assert (whole, part) == (number * 10, number / 4)
        assert seen == {i: ids for i, ids in enumerate(texts) if ids}


@given(documents, st.integers(3, 9))
def test_one_document_a_row_never_mixes_two_and_loses_none(texts: list[list[int]], length: int):
    rows = list(one_a_row(as_documents(texts), length=length, frame=Frame((1,), (2,), ())))
    for row in rows:
        assert len(set(row.document.tolist())) == 1
        assert (row.tokens[0], row.tokens[-1]) == (1, 2)
        assert len(row.tokens) <= length
    inner = [int(token) for row in rows for token in row.tokens[1:-1]]
    assert inner == [token for ids in texts for token in ids]


def test_a_document_of_exactly_one_row_fills_one_row():
    rows = list(one_a_row(as_documents([[5, 6, 7]]), length=3, frame=NOTHING))
    assert [row.tokens.tolist() for row in rows] == [[5, 6, 7]]
    rows = list(pack(as_documents([[5, 6, 7]]), length=3, frame=NOTHING))
    assert [row.tokens.tolist() for row in rows] == [[5, 6, 7]]


def test_a_prefix_belongs_to_the_document_that_follows_and_a_separator_to_the_one_before():
    frame = Frame((1,), (), (2,))
    rows = list(pack(as_documents([[5], [7, 8, 9]]), length=5, frame=frame))
    assert [row.tokens.tolist() for row in rows] == [[1, 5, 2, 7, 8], [1, 9, 2]]
    assert [row.document.tolist() for row in rows] == [[0, 0, 0, 1, 1], [1, 1, 1]]
    assert [row.labels[0].tolist() for row in rows] == [[0, 0, 0, 10, 10], [10, 10, 10]]


@pytest.mark.parametrize("arrange", [pack, one_a_row])
def test_a_row_without_room_for_text_is_refused(arrange):
    with pytest.raises(BadInput, match="no room"):
        list(arrange(as_documents([[5]]), length=2, frame=Frame((1, 1), (2,), ())))
