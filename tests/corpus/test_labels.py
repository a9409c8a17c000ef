"""Labels of words, tokens and spans: they stand on the tokens they are of, or are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given
from hypothesis import strategies as st

from interp.corpus import Corpus, open_corpus
from interp.corpus.alignment import token_labels
from interp.corpus.labels import LabelScheme, SpanLabels, WordLabels
from interp.results.errors import BadInput
from tests.corpus.test_sources import write_byte_tokenizer, write_jsonl
from tests.models import tiny_model_directory


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokens are words between spaces, framed by BOS."""
    path = tmp_path_factory.mktemp("words") / "model"
    return tiny_model_directory("llama", path, adds_bos=True)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokens are bytes."""
    path = tmp_path_factory.mktemp("bytes") / "model"
    write_byte_tokenizer(path)
    return path


def read(entries: list[dict[str, Any]], path: Path, model: Path, **more: Any) -> tuple[Corpus, Any]:
    corpus = open_corpus(write_jsonl(path / "a.jsonl", entries), model, **more)
    (batch,) = corpus.batches(64)
    return corpus, batch


def test_strings_become_the_places_of_their_sorted_values(tmp_path, words):
    entries = [{"text": "w5 w6", "kind": k} for k in ("verb", "noun", "verb", "adverb")]
    corpus, batch = read(entries, tmp_path, words, length=4, labels=["kind"], packing="document")
    assert corpus.label_values == {"kind": ("adverb", "noun", "verb")}
    assert batch.labels["kind"].tolist() == [[2, 2, 2, -1], [1, 1, 1, -1], [2, 2, 2, -1],
                                             [0, 0, 0, -1]]  # fmt: skip


@pytest.mark.parametrize("packing", ["pack", "document"])
def test_a_list_for_each_word_stands_on_the_words_and_not_on_bos_or_eos(tmp_path, words, packing):
    entries = [
        {"text": "w5 w6 w7", "pos": ["N", "V", None]},
        {"text": "w8", "pos": ["V"]},
    ]
    corpus, batch = read(entries, tmp_path, words, length=4, labels=["pos"], packing=packing)
    assert corpus.label_values == {"pos": ("N", "V")}
    assert batch.tokens[0].tolist() == [1, 5, 6, 7]
    expected = [[-1, 0, 1, -1], [-1, -1, 1, -1] if packing == "pack" else [-1, 1, -1, -1]]
    assert batch.labels["pos"].tolist() == expected


def test_a_document_that_goes_on_in_the_next_row_takes_its_labels_along(tmp_path, words):
    text = " ".join(f"w{i}" for i in range(5, 15))
    for packing in ("pack", "document"):
        _, batch = read(
            [{"text": text, "n": list(range(10))}], tmp_path, words,
            length=4, labels=["n"], packing=packing,
        )  # fmt: skip
        is_word = batch.tokens >= 5
        np.testing.assert_array_equal(batch.labels["n"][is_word], batch.tokens[is_word] - 5)
        assert (batch.labels["n"][~is_word] == -1).all()


def test_every_token_of_a_word_carries_its_label(tmp_path, letters):
    _, batch = read(
        [{"text": "né là x", "w": [7, 8, 9]}], tmp_path, letters, length=16, labels=["w"]
    )
    kept = batch.attention_mask[0]
    assert batch.labels["w"][0][kept].tolist() == [7, 7, 7, -1, 8, 8, 8, -1, 9]


def test_spans_label_characters_and_fractions_are_missing_as_nan(tmp_path, letters):
    entries = [{"text": "abcdef", "s": [[1, 3, 0.5], [4, 5, 2.0]]}]
    _, batch = read(entries, tmp_path, letters, length=6, labels=["s"])
    np.testing.assert_array_equal(batch.labels["s"][0], [np.nan, 0.5, 0.5, np.nan, 2.0, np.nan])


def test_labels_of_ready_ids_are_one_for_each_id(tmp_path):
    entries = [{"text": [5, 6, 7], "k": ["a", None, "b"]}]
    _, batch = read(entries, tmp_path, None, length=3, labels=["k"])  # pyright: ignore
    assert batch.labels["k"].tolist() == [[0, -1, 1]]
    write_jsonl(tmp_path / "b.jsonl", [{"text": [5, 6, 7], "k": [[0, 2, "a"]]}])
    corpus = open_corpus(tmp_path / "b.jsonl", None, length=3, labels=["k"])
    with pytest.raises(BadInput, match="is of characters, and the document is ready token ids"):
        next(corpus.batches(1))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ([1, 2], "has 2 entries, and the document has 3 words and 8 tokens"),
        ([[0, 99, 1]], "has the span 0 to 99, and the text has 8 characters"),
        ([[0, 3, 1], [2, 4, 2]], "has spans of different values that overlap"),
    ],
)
def test_labels_that_do_not_align_get_one_line_with_the_place(tmp_path, letters, label, said):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "ab cd ef", "k": label}])
    corpus = open_corpus(path, letters, length=8, labels=["k"])
    with pytest.raises(BadInput, match=f"a.jsonl, line 1: label 'k' {said}"):
        next(corpus.batches(1))


@pytest.mark.parametrize("label", [{"a": 1}, [[3, 1, 0]], [[0, 1]], [["a", 1, 0]]])
def test_what_is_no_label_is_refused_when_the_file_is_opened(tmp_path, letters, label):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "ab cd ef", "k": label}])
    with pytest.raises(BadInput, match="line 1: label 'k'"):
        open_corpus(path, letters, length=8, labels=["k"])


def test_a_label_has_one_form_and_one_type(tmp_path, letters):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "ab", "k": 1}, {"text": "cd", "k": [1]}])
    with pytest.raises(BadInput, match="line 2: label 'k' is a list here"):
        next(open_corpus(path, letters, length=8, labels=["k"]).batches(1))
    path = write_jsonl(tmp_path / "b.jsonl", [{"text": "ab", "k": 1}, {"text": "cd", "k": "x"}])
    with pytest.raises(BadInput, match="label 'k' is 1, and a string elsewhere"):
        next(open_corpus(path, letters, length=8, labels=["k"]).batches(1))


def test_strings_of_a_stream_are_refused_and_those_of_a_dataset_read(letters):
    entries = [{"text": "ab", "k": "x"}, {"text": "cd", "k": "a"}]
    corpus = open_corpus(Dataset.from_list(entries), letters, length=2, labels=["k"])
    assert corpus.label_values == {"k": ("a", "x")}
    stream: Any = IterableDataset.from_generator(lambda: iter(entries))
    with pytest.raises(BadInput, match="the values of a stream cannot be known"):
        next(open_corpus(stream, letters, length=2, labels=["k"]).batches(1))


@given(st.data())
def test_a_token_carries_the_one_value_it_overlaps(data):
    text = "x" * 12
    cuts = sorted(data.draw(st.sets(st.integers(1, 11), max_size=5)))
    edges = [0, *cuts, 12]
    values = [data.draw(st.sampled_from(["a", "b", None])) for _ in edges[1:]]
    spans = tuple((a, b, v) for a, b, v in zip(edges, edges[1:], values, strict=False))
    starts = [data.draw(st.integers(0, 11)) for _ in range(4)]
    offsets = np.array([[s, data.draw(st.integers(s, 12))] for s in starts])
    found = token_labels(
        SpanLabels(spans),
        name="k",
        scheme=LabelScheme(names=("k",), values={"k": ("a", "b")}),
        text=text,
        offsets=offsets,
        n_tokens=4,
        where="here",
    )
    for (start, stop), code in zip(offsets, found, strict=True):
        seen = {v for a, b, v in spans for c in range(start, stop) if a <= c < b}
        expected = {"a": 0, "b": 1, None: -1}[seen.pop()] if len(seen) == 1 else -1
        assert code == expected


def test_numbers_alone_are_read_as_ever(tmp_path, words):
    corpus, batch = read([{"text": "w5", "n": 3}], tmp_path, words, length=3, labels=["n"])
    assert corpus.label_values == {}
    assert batch.labels["n"].tolist() == [[3, 3, 3]]
    assert WordLabels((1,)) != SpanLabels(((0, 1, 1),))
    assert json.dumps(WordLabels((1,))) == "[[1]]"
