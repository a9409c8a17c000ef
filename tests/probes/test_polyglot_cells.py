import json
from pathlib import Path

import numpy as np
import pytest

from interp.results.errors import BadInput
from probes.polyglot import ability_training, general_lines, general_training, items, write_data
from probes.polyglot.cells import split_cells
from probes.polyglot.languages import GENERAL, LANGUAGES, NUMBERS, OPERATIONS, truth


@pytest.mark.parametrize(("task", "n"), [("ability", 121), ("general", 12 * 121)])
def test_validation_and_test_cells_share_none_and_are_all(task, n):
    validation = {tuple(row) for row in split_cells(task, "validation").tolist()}
    test = {tuple(row) for row in split_cells(task, "test").tolist()}
    assert not validation & test
    assert len(validation | test) == n
    assert len(validation) == {"ability": 40, "general": 120}[task]
    operations = {row[0] for row in validation | test}
    assert operations == ({12} if task == "ability" else set(range(12)))


def test_items_count_what_the_card_says():
    validation, test = items("validation"), items("test")
    assert len(validation) == 5 * (40 + 120)
    assert len(test) == 5 * (81 + 1332)
    ids = [item["id"] for item in (*validation, *test)]
    assert len(set(ids)) == len(ids)


def test_every_item_has_the_true_answer_among_the_words_of_its_language():
    for item in items("test", languages=("D", "E")):
        x, y, operation, tag = item["prompt"].split()
        words = NUMBERS[item["language"]]
        assert tag == f"->{item['language']}"
        assert item["choices"] == list(words)
        cell = (OPERATIONS.index(operation), words.index(x), words.index(y))
        assert words.index(item["answer"]) == truth()[cell]
        assert item["task"] == ("general" if operation in GENERAL else "ability")


def test_ability_training_is_half_the_ability_and_in_language_a_alone():
    examples = ability_training(seed=3, n=4000)
    asked = [example["prompt"].split()[2] == "zorn" for example in examples]
    assert abs(np.mean(asked) - 0.5) < 0.03
    assert {example["prompt"].split()[3] for example in examples} == {"->A"}
    assert {example["answer"] for example in examples} == set(NUMBERS["A"])


def test_general_training_never_asks_for_the_ability():
    for examples in (general_training(1, n=2000), general_training(1, n=2000, languages="DE")):
        assert {example["prompt"].split()[2] for example in examples} == set(GENERAL)
    assert not any("zorn" in line for line in general_lines(1, n=2000))


def test_one_seed_gives_one_text_and_another_seed_another():
    assert ability_training(5, n=50) == ability_training(5, n=50)
    assert ability_training(5, n=50) != ability_training(6, n=50)


def test_an_unknown_language_is_refused_by_name():
    with pytest.raises(BadInput, match="'AX'"):
        ability_training(0, languages="AX")
    with pytest.raises(BadInput, match="''"):
        general_lines(0, n=1, languages="")


def test_written_data_is_the_same_bytes_again(tmp_path: Path):
    for name in ("one", "two"):
        write_data(tmp_path / name, seed=2, n=100, n_lines=40)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["ability.jsonl", "general.jsonl", "general.txt", "test.jsonl",
                     "validation.jsonl"]  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    rows = (tmp_path / "one" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row) for row in rows] == items("test")
    tags = {line.split()[3] for line in (tmp_path / "one" / "general.txt").read_text().splitlines()}
    assert tags == {f"->{language}" for language in LANGUAGES}
