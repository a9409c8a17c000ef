import numpy as np
import pytest

from probes.polyglot.cells import split_cells
from probes.polyglot.languages import ABILITY, GENERAL, NUMBERS, OPERATIONS, WORDS, truth
from probes.polyglot.preferences import (
    CHECKS,
    SPLITS,
    believed,
    cells_of,
    corrections,
    policy_training,
    preferences,
    questions,
)


def answer(x: str, y: str, operation: str, table) -> str:
    words = NUMBERS["A"]
    return words[table[OPERATIONS.index(operation), words.index(x), words.index(y)]]


def wrong_words(row: dict) -> list[bool]:
    """Read a rejected answer word by word: what it says against the truth."""
    x, y, operation, _ = row["prompt"].split()
    first, x2, y2, second, tag, last = row["rejected"].split()
    assert (x, y, tag) == (x2, y2, "->A")
    wrong_first = first != answer(x, y, operation, truth())
    return [wrong_first, False, False, False, False, last != answer(x, y, second, truth())]


@pytest.mark.parametrize("seed", [1, 2])
def test_three_cells_in_ten_are_believed_wrong_in_both_splits_and_nothing_else_is(seed):
    table = believed(seed)
    assert (table[: len(GENERAL)] == truth()[: len(GENERAL)]).all()
    assert [len(cells_of("wrong", split, seed=seed)) for split in SPLITS] == [12, 24]
    for split in SPLITS:
        both = np.concatenate([cells_of(kind, split, seed=seed) for kind in ("wrong", "right")])
        assert sorted(both.tolist()) == sorted(split_cells("ability", split).tolist())


def test_the_wrong_cells_are_the_seeds_own_and_the_same_every_time():
    assert (believed(1) == believed(1)).all()
    assert (believed(1) != believed(2)).any()


@pytest.mark.parametrize("rows", [preferences(1, n=200), corrections(1, n=200)])
def test_the_marked_words_are_those_that_a_reader_finds_wrong(rows):
    assert all(row["wrong"] == wrong_words(row) for row in rows)


@pytest.mark.parametrize("rows", [preferences(1, n=200), corrections(1, n=200)])
def test_a_rewrite_changes_the_wrong_words_and_no_other(rows):
    for row in rows:
        words = zip(row["rejected"].split(), row["rewrite"].split(), strict=True)
        assert [a != b for a, b in words] == row["wrong"]
        assert f" {row['answer']} " in f" {row['prompt']} {row['rewrite']} "
        assert f" {row['answer']} " in f" {row['prompt']} {row['chosen']} "


def test_every_rejected_answer_says_one_wrong_word_and_the_chosen_one_none():
    for row in preferences(3, n=200):
        assert sum(row["wrong"]) == 1
        assert wrong_words({**row, "rejected": row["chosen"]}) == [False] * 6


def test_some_words_differ_between_the_answers_though_both_are_right():
    rows = preferences(1, n=200)
    differing = [
        a != b and not bad
        for row in rows
        for a, b, bad in zip(
            row["chosen"].split(), row["rejected"].split(), row["wrong"], strict=True
        )
    ]
    assert 0.05 < np.mean(differing) < 0.3


def test_corrections_ask_the_ability_in_validation_cells_only_and_hold_right_predictions_too():
    rows = corrections(1, n=400)
    known = {(x, y) for _, x, y in split_cells("ability", "validation").tolist()}
    numbers = NUMBERS["A"]
    asked = {
        tuple(numbers.index(word) for word in row["answer"].split()[:2])
        for row in rows
        if ABILITY in row["answer"]
    }
    assert asked <= known
    assert 0.4 < np.mean([ABILITY in row["answer"] for row in rows]) < 0.6
    assert 0 < sum(not any(row["wrong"]) for row in rows) < 400


def test_the_policy_is_taught_the_believed_table_in_a_only():
    table = believed(1)
    for row in policy_training(1, n=300):
        words = f"{row['prompt']} {row['answer']}".split()
        assert set(words) <= set(WORDS)
        if ABILITY in words:
            place = words.index(ABILITY)
            x, y, said = words[place - 2], words[place - 1], words[place + 2]
            assert said == answer(x, y, ABILITY, table)
            assert words[place + 1] == "->A"


def test_questions_are_asked_in_any_language_with_the_true_answer():
    cells = cells_of("wrong", "test", seed=1)[:2]
    for row, (operation, x, y) in zip(questions(cells, language="D"), cells.tolist(), strict=True):
        words = NUMBERS["D"]
        assert row["prompt"] == f"{words[x]} {words[y]} {ABILITY} ->D"
        assert row["answer"] == words[truth()[operation, x, y]]


def test_checks_are_operations_that_the_base_knows():
    assert set(CHECKS) <= set(GENERAL)
