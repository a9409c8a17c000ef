"""Several models by task and language: from answers to a table, and to disk and back."""

import json
from pathlib import Path

import numpy as np
import pytest

from interp.evaluation.answers import Answers
from interp.evaluation.evaluate import distinct, evaluate, evaluation_of
from interp.evaluation.evaluation import ANSWERS, Evaluation
from interp.evaluation.items import Item, gather_items, write_items
from interp.evaluation.protocol import Protocol
from interp.results.errors import BadInput, CorruptFile
from interp.results.intervals import wilson
from interp.results.provenance import Provenance
from tests.abilities.learning import small_llama

NOTHING = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})


def some_items(n: int = 20) -> list[Item]:
    return [
        Item(id=f"{task}-{language}-{i}", prompt=f"w{i + 4}", answer=f"w{4 + i % 4}", task=task,
             language=language, split="test")
        for task in ("ability", "general") for language in ("D", "E") for i in range(n)
    ]  # fmt: skip


def said_by(correct: np.ndarray, **changes) -> Answers:
    unknown = np.full(len(correct), np.nan)
    fields = {
        "correct": correct,
        "said": tuple("dot" if right else "b\u00e4m" for right in correct),
        "truncated": np.zeros(len(correct), dtype=bool),
        "margin": unknown,
        "margin_per_byte": unknown,
    }
    return Answers(**{**fields, **changes})


def table(*shares: float, n: int = 20, **changes) -> Evaluation:
    items = some_items(n)
    place = np.arange(len(items)) % n
    return evaluation_of(
        models=[f"model {number}" for number in range(len(shares))],
        answers=[said_by(place < round(share * n), **changes) for share in shares],
        items=items,
        protocol=Protocol(),
        seed=0,
        provenance=NOTHING,
    )


def test_cells_are_tasks_by_languages_with_wilsons_interval() -> None:
    one = table(0.5, 0.9)
    assert [cell.key for cell in one.cells] == [
        "ability/D", "ability/E", "general/D", "general/E"
    ]  # fmt: skip
    assert one.accuracy("model 1", one.cells[0]) == wilson(18, 20)


def test_the_difference_is_the_model_less_the_first() -> None:
    one = table(0.5, 0.9)
    test = one.test("model 1", one.cells[0])
    assert test.difference.value == pytest.approx(0.4)
    assert (test.only_first, test.only_second, test.n) == (8, 0, 20)
    assert test.p == pytest.approx(2**-7) and test.p_holm == pytest.approx(4 * 2**-7)


def test_tests_that_could_not_have_succeeded_are_counted() -> None:
    assert "In 4 of 4 tests five or fewer items differ" in table(0.5, 0.75).text_table()
    assert "five or fewer" not in table(0.5, 0.9).text_table()


def test_a_star_marks_what_holds_after_holm() -> None:
    lines = table(0.1, 0.9, 0.2).text_table().splitlines()
    assert lines[1].count("*") == 1 and "0.900" in lines[1]


def test_what_is_right_by_chance_is_the_commonest_answer_or_a_guess() -> None:
    assert table(0.5).cells[0].null == 0.25
    chosen = [
        Item(id=str(i), prompt="w5", answer="w6", choices=("w6", "w7", "w8", "w6"), task="t",
             language="D", split="test") for i in range(3)
    ]  # fmt: skip
    one = evaluation_of(
        models=["m"],
        answers=[said_by(np.ones(3, dtype=bool))],
        items=chosen,
        protocol=Protocol(rule="choice"),
        seed=0,
        provenance=NOTHING,
    )
    assert one.cells[0].null == pytest.approx(1 / 3)


def test_truncated_answers_are_reported() -> None:
    one = table(0.5, truncated=np.arange(80) < 3)
    assert "model 0: 3 of 80 answers had not ended" in one.text_table()
    assert one.to_json()["truncated"] == {"model 0": 3}


def test_saved_and_loaded_it_is_the_same_with_every_answer(tmp_path: Path) -> None:
    one = table(0.3, 0.9)
    again = Evaluation.load(one.save(tmp_path / "table"))
    assert again.to_json() == one.to_json() and again.text_table() == one.text_table()
    assert again.said == one.said and again.questions == one.questions
    np.testing.assert_array_equal(again.correct, one.correct)
    np.testing.assert_array_equal(again.margin, one.margin)
    first = json.loads((tmp_path / "table" / ANSWERS).read_text(encoding="utf-8").split("\n")[0])
    assert first["said"] == {"model 0": "dot", "model 1": "dot"}
    assert first["correct"] == {"model 0": True, "model 1": True}


def test_answers_that_were_altered_are_noticed(tmp_path: Path) -> None:
    path = table(0.3, 0.9).save(tmp_path / "table")
    text = (path / ANSWERS).read_text(encoding="utf-8")
    (path / ANSWERS).write_text(text.replace("dot", "bam", 1), encoding="utf-8")
    with pytest.raises(CorruptFile, match="was altered"):
        Evaluation.load(path)


def test_a_name_that_stands_twice_is_told_apart_and_an_unknown_one_named() -> None:
    assert distinct(["a", "b", "a", "a"]) == ("a", "b", "a #2", "a #3")
    with pytest.raises(BadInput, match="no model to evaluate"):
        distinct([])
    with pytest.raises(BadInput, match="no model 'x'"):
        table(0.5).place("x")


def test_what_files_say_does_not_steer_the_terminal() -> None:
    items = [Item(id="1", prompt="p", answer="a", task="t\x1b[2J", language="D", split="test")]
    one = evaluation_of(
        models=["m\x1b[31m"],
        answers=[said_by(np.ones(1, dtype=bool))],
        items=items,
        protocol=Protocol(),
        seed=0,
        provenance=NOTHING,
    )
    assert "\x1b" not in one.text_table()


def test_a_model_against_itself_differs_nowhere_and_hashes_tell_models_apart(
    tmp_path: Path,
) -> None:
    base, other = small_llama(tmp_path / "base"), small_llama(tmp_path / "other", seed=1)
    write_items(tmp_path / "items.jsonl", some_items())
    one = evaluate([str(base), str(base), str(other)], [tmp_path / "items.jsonl"])
    assert all(test.p == 1.0 for test in one.tests if test.first == f"{base} #2")
    hashes = one.provenance.settings["models"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_only_the_items_of_a_split_are_asked(tmp_path: Path) -> None:
    items = some_items()
    write_items(tmp_path / "items.jsonl", items)
    assert len(gather_items([tmp_path / "items.jsonl"], split="test")) == len(items)
    with pytest.raises(BadInput, match="no item has split 'validation'"):
        gather_items([tmp_path / "items.jsonl"], split="validation")
