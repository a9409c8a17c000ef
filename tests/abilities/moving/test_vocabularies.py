"""Token rows go where the same token is: another order, more tokens and padding of the base."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.moving.extract import extract
from interp.abilities.moving.row_map import RowMap, rows_by_token
from interp.abilities.moving.transfer import transfer
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.undoing.undo import undo
from interp.models.vocabulary import n_tokens, vocabulary
from interp.results.errors import CorruptFile, Mismatch
from tests.abilities.checkpoints import SHAPES, bits, near, random_tensors, read_model, write_model

TABLES = ("lm_head.weight", "model.embed_tokens.weight")
SMALL = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]


@given(
    source=st.lists(st.integers(-1, 9), min_size=1, max_size=12),
    width=st.integers(1, 5),
    data=st.data(),
)
def test_the_runs_of_any_piece_are_its_entries_that_have_a_source(source, width, data):
    n = len(source) * width
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    rows = RowMap(np.array(source))
    found = {
        start + run.at + i: run.source + i
        for run in rows.runs(start, stop, width=width)
        for i in range(run.length)
    }
    expected = {
        entry: source[entry // width] * width + entry % width
        for entry in range(start, stop)
        if source[entry // width] >= 0
    }
    assert found == expected


def test_a_long_run_of_rows_is_one_run():
    rows = RowMap(np.arange(100))
    assert [run.length for run in rows.runs(7, 405, width=5)] == [398]
    assert rows.is_identity
    assert rows.n_alone == 0


def test_rows_are_found_by_token_and_padding_by_none():
    base = {"a": 0, "new": 1, "b": 2}
    rows = rows_by_token(base, {"b": 0, "a": 1}, n_base=5, n_other=2)
    assert rows.source.tolist() == [1, -1, 0, -1, -1]
    assert rows.n_alone == 3
    assert rows_by_token(None, None, n_base=2, n_other=2).is_identity
    assert rows_by_token(base, None, n_base=5, n_other=5).source.tolist() == [0, 1, 2, -1, -1]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model": {"vocab": {"a": 0, "b": 1}}}, {"a": 0, "b": 1}),
        ({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}, {"a": 0, "b": 1}),
        (
            {"model": {"vocab": {"a": 0}}, "added_tokens": [{"content": "<s>", "id": 5}]},
            {"a": 0, "<s>": 5},
        ),
    ],
)
def test_the_vocabulary_is_read_from_every_form_of_tokenizer_json(tmp_path, content, expected):
    assert vocabulary(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert vocabulary(tmp_path) == expected
    config = {"added_tokens_decoder": {"7": {"content": "<pad>"}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert vocabulary(tmp_path) == expected | {"<pad>": 7}
    assert n_tokens(expected | {"<pad>": 7}) == 8


@pytest.mark.parametrize("content", [{}, {"model": {"vocab": 3}}, {"model": {"vocab": {"a": -1}}}])
def test_a_tokenizer_without_a_vocabulary_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CorruptFile, match=r"tokenizer\.json"):
        vocabulary(tmp_path)


def tokens_of(directory, tokens):
    vocab = {token: row for row, token in enumerate(tokens)}
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}}))


@pytest.fixture
def place(tmp_path):
    """A small family, and a base with its tokens in another order, four new ones, two of padding.

    Where a token is in both, all of base and larger base are equal.
    """
    base = random_tensors(0)
    ability, language = near(base, 1), near(base, 2)
    for name, tensors in (("base", base), ("ability", ability), ("language", language)):
        tokens_of(write_model(tmp_path / name, tensors), SMALL)
    order = ["n0", *reversed(SMALL), "n1", "n2", "n3"]
    larger = dict(base)
    for name in TABLES:
        rows = [base[name][SMALL.index(t)] if t in SMALL else torch.full((6,), 9.0) for t in order]
        larger[name] = torch.stack([*rows, *torch.full((2, 6), 7.0)])
    tokens_of(write_model(tmp_path / "larger", larger), order)
    return tmp_path, order


@pytest.mark.parametrize("chunk", [1, 7, 8, 1 << 18])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_weights_and_languages_go_to_the_rows_of_their_tokens(place, chunk, eta):
    tmp_path, order = place
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w", alpha=0.5)
    small = transfer(
        tmp_path / "base", weights, tmp_path / "small", language=tmp_path / "language", eta=eta
    )
    made = transfer(
        tmp_path / "larger",
        weights,
        tmp_path / "out",
        language=tmp_path / "language",
        eta=eta,
        force=True,
        chunk=chunk,
        undo="full",
    )
    assert (small.rows_left, made.rows_left) == (0, 6)
    before, after = read_model(tmp_path / "larger"), read_model(tmp_path / "out")
    expected = read_model(tmp_path / "small")
    for name in SHAPES:
        if name not in TABLES:
            assert bits(after[name]) == bits(expected[name])
            continue
        for row in range(after[name].shape[0]):
            token = order[row] if row < len(order) else None
            if token in SMALL:
                assert bits(after[name][row]) == bits(expected[name][SMALL.index(token)])
            else:
                assert bits(after[name][row]) == bits(before[name][row])
    undo(made.path, tmp_path / "back")
    assert all(bits(t) == bits(before[n]) for n, t in read_model(tmp_path / "back").items())


def test_the_tokens_of_an_ability_are_kept_beside_its_weights(place):
    tmp_path, _ = place
    extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    loaded = AbilityWeights.load(tmp_path / "w")
    assert loaded.tokenizer is not None
    assert vocabulary(loaded.tokenizer.parent) == vocabulary(tmp_path / "base")


def test_rows_of_padding_stay_as_they_are_and_the_rest_of_the_sum_is_exact(tmp_path):
    base = random_tensors(0, torch.bfloat16)
    ability = near(base, 1)
    for name, tensors in (("base", base), ("ability", ability)):
        tokens_of(write_model(tmp_path / name, tensors), SMALL[:8])
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    made = transfer(tmp_path / "base", weights, tmp_path / "out")
    assert made.rows_left == 3
    for name, tensor in read_model(made.path).items():
        rows = slice(8, None) if name in TABLES else slice(0, 0)
        assert bits(tensor[rows]) == bits(base[name][rows])
        rows = slice(None, 8) if name in TABLES else slice(None)
        assert bits(tensor[rows]) == bits(ability[name][rows])


def test_other_tokens_are_refused_unless_token_tables_are_left_alone(place):
    tmp_path, _ = place
    tokens_of(tmp_path / "larger", ["n0", "n1", *SMALL[:5]])
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    with pytest.raises(Mismatch, match=r"the ability has another tokenizer.*--skip-embeddings"):
        transfer(tmp_path / "larger", weights, tmp_path / "out", force=True)
    assert not (tmp_path / "out").exists()
    made = transfer(
        tmp_path / "larger",
        weights,
        tmp_path / "out",
        language=tmp_path / "language",
        force=True,
        skip_embeddings=True,
    )
    before, after = read_model(tmp_path / "larger"), read_model(made.path)
    assert all(bits(before[name]) == bits(after[name]) for name in TABLES)
    assert not set(made.selected[0]) & set(TABLES)


def test_other_row_counts_without_a_tokenizer_are_refused(place):
    tmp_path, _ = place
    (tmp_path / "larger" / "tokenizer.json").unlink()
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    with pytest.raises(Mismatch, match=r"\[11, 6\] in the ability and \[17, 6\]"):
        transfer(tmp_path / "larger", weights, tmp_path / "out", force=True)
