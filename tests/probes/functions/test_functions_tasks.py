"""Sequences against a reader that knows the words alone, and blocks against their definition."""

import json
from pathlib import Path

import numpy as np
import pytest

from interp.models.reference import BUNDLED
from interp.modules.partition import canonical
from probes.functions.blocks import BLOCK_SIZE, D_MLP, N_EXPERTS, known_blocks, known_experts
from probes.functions.facts import functions_of_experts
from probes.functions.labelled import (
    PREDICTING,
    SPLITS,
    draw_split,
    function_labels,
    shuffled_labels,
    write_items,
    write_labelled,
)
from probes.functions.tasks import ANSWER_START, FUNCTIONS, LENGTH, WORDS, batches, draw, text

BY_HAND = {
    "add": lambda x, z: (x + z) % 8,
    "product": lambda x, z: ((x + 1) * (z + 1) % 11) % 8,
    "max": max,
    "xor": lambda x, z: x ^ z,
    "difference": lambda x, z: abs(x - z),
    "quadratic": lambda x, z: (3 * x + z**2) % 8,
}


def test_every_sequence_says_what_a_reader_of_the_words_works_out():
    for line in text(draw(np.random.default_rng(5), 200)):
        function, *words = line.split()
        x, y = [int(word) for word in words[:8]], [int(word) for word in words[9:]]
        assert words[8] == ":"
        assert y == [BY_HAND[function](x[i], x[i - 1]) for i in range(8)]


def test_every_function_and_symbol_is_drawn_equally_often():
    tokens = np.concatenate([next(batches(batch_size=6_000, seed=seed)) for seed in (0, 1)])
    asked = np.bincount(tokens[:, 1], minlength=len(WORDS))
    assert asked[[WORDS.index(f) for f in FUNCTIONS]].sum() == 12_000
    assert abs(asked[WORDS.index("add")] / 12_000 - 1 / 6) < 0.015
    symbols = np.bincount(tokens[:, 2:10].ravel(), minlength=len(WORDS))[WORDS.index("0") :]
    np.testing.assert_allclose(symbols / symbols.sum(), 1 / 8, atol=0.005)


def test_a_seed_is_one_stream_and_splits_share_no_sequence():
    one, same, other = (next(batches(batch_size=50, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    drawn = [set(text(draw_split(seed=0, split=s, n_per_function=200))) for s in SPLITS]
    assert not drawn[0] & drawn[1] and not drawn[0] & drawn[2] and not drawn[1] & drawn[2]


def test_labels_say_which_function_exactly_where_an_answer_is_predicted():
    tokens = draw_split(seed=1, split="scoring", n_per_function=4)
    labels = function_labels(tokens)
    assert tuple(labels) == FUNCTIONS
    for name, label in labels.items():
        where = np.flatnonzero(label[0] >= 0)
        assert (where + 1).tolist() == list(range(ANSWER_START, LENGTH))
        for row, answers in zip(tokens, label[:, PREDICTING], strict=True):
            assert set(answers) == {int(WORDS[row[1]] == name)}


def test_shuffled_labels_are_as_many_and_know_nothing_of_their_line():
    tokens = draw_split(seed=1, split="scoring", n_per_function=500)
    true, shuffled = function_labels(tokens), shuffled_labels(tokens, seed=1)
    for name in FUNCTIONS:
        one, other = true[name][:, 12], shuffled[f"shuffled {name}"][:, 12]
        assert one.sum() == other.sum() == 500
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def test_written_lines_name_the_function_of_each_word_that_predicts_an_answer(tmp_path: Path):
    write_labelled(tmp_path / "lines.jsonl", seed=2, n_per_function=3)
    for line in (tmp_path / "lines.jsonl").read_text().splitlines():
        row = json.loads(line)
        words = row["text"].split()
        assert row["function"] == [None] * 9 + [words[0]] * 8 + [None]
        assert words[9] == ":"


def test_items_ask_every_function_in_both_splits(tmp_path: Path):
    write_items(tmp_path / "items.jsonl", seed=3, n_per_function=5)
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    asked = [(row["split"], row["function"]) for row in rows]
    assert all(asked.count((s, f)) == 5 for s in ("validation", "test") for f in FUNCTIONS)
    row = rows[7]
    words = [WORDS[token] for token in row["tokens"]]
    assert words[1] == row["function"]
    assert words[row["answer_start"] - 1] == ":"


@pytest.mark.parametrize("seed", range(5))
def test_blocks_hold_32_neurons_of_each_layer_and_split_into_experts_of_16(seed: int):
    blocks, experts = known_blocks(seed), known_experts(seed)
    for layer in range(2):
        assert np.bincount(blocks[layer]).tolist() == [BLOCK_SIZE] * len(FUNCTIONS)
        assert np.bincount(experts[layer]).tolist() == [D_MLP // N_EXPERTS] * N_EXPERTS
        np.testing.assert_array_equal(experts[layer] // 2, blocks[layer])
        of = functions_of_experts(blocks[layer], canonical(experts[layer]))
        assert sorted(of.tolist()) == sorted([*range(6), *range(6)])
    in_order = np.repeat(np.arange(6), 32)
    assert (blocks[0] == in_order).mean() < 0.35
    assert (blocks[0] == blocks[1]).mean() < 0.35
    assert not np.array_equal(blocks, known_blocks(seed + 1))


def test_known_json_of_the_bundle_is_what_its_seed_gives():
    known = json.loads((BUNDLED / "functions" / "known.json").read_text(encoding="utf-8"))
    assert known["functions"] == list(FUNCTIONS)
    np.testing.assert_array_equal(known["block"], known_blocks(0))
    np.testing.assert_array_equal(known["expert"], known_experts(0))
