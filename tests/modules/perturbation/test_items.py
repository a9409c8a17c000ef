"""Items of functions: every form of a line, the splits, and what is refused."""

import json
from pathlib import Path

import pytest

from interp.models.load import load_tokenizer
from interp.modules.perturbation.items import (
    FunctionItem,
    functions_of,
    read_function_items,
    write_function_items,
)
from interp.results.errors import BadInput
from tests.models import write_tokenizer


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_form_of_a_line_says_where_the_answer_stands(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer", adds_bos=True)
    file = lines(
        tmp_path / "items.jsonl",
        {"tokens": [5, 6, 7, 8], "answer_start": 2, "function": "a"},
        {"tokens": [5, 6, 7], "answer": [9], "function": "b"},
        {"tokens": [5, 6, 7, 8], "answer_start": 1, "answer_end": 3, "function": "a"},
        {"text": "w4 w5", "answer": " w6", "function": "c"},
        {"text": "w4 w5 w6", "answer_start": 5, "function": "c"},
        {"text": "w4 w5", "function": "plain"},
    )
    items = read_function_items(file, load_tokenizer(tmp_path / "tokenizer"))
    found = [(i.tokens, i.answer_start, i.answer_end, i.has_answer) for i in items]
    assert found == [
        ((5, 6, 7, 8), 2, 4, True),
        ((5, 6, 7, 9), 3, 4, True),
        ((5, 6, 7, 8), 1, 3, True),
        ((1, 4, 5, 6), 3, 4, True),
        ((1, 4, 5, 6), 3, 4, True),
        ((1, 4, 5), 1, 3, False),
    ]
    assert functions_of(items) == ("a", "b", "c", "plain")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    items = [
        FunctionItem(
            id=f"{n}",
            function="f",
            split="test",
            tokens=(n, 2, 3),
            answer_start=1,
            answer_end=3,
            has_answer=n > 0,
        )
        for n in range(2)
    ]
    write_function_items(tmp_path / "items.jsonl", items)
    assert read_function_items(tmp_path / "items.jsonl") == items


def test_equal_sequences_without_a_split_fall_on_one_side_and_both_sides_are_used(
    tmp_path: Path,
) -> None:
    rows = [{"tokens": [1, n % 32, 3], "answer_start": 2, "function": "f"} for n in range(64)]
    items = read_function_items(lines(tmp_path / "items.jsonl", *rows))
    sides = {item.tokens: {i.split for i in items if i.tokens == item.tokens} for item in items}
    assert {len(side) for side in sides.values()} == {1}
    assert {item.split for item in items} == {"validation", "test"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": [1, 2], "answer_start": 1}, "line 1 lacks the text field 'function'"),
        ({"function": "f"}, "neither tokens nor text"),
        ({"function": "f", "tokens": [1, 2], "answer_start": 0}, "tokens 0 to 2 of 2"),
        ({"function": "f", "tokens": [1, 2], "answer_start": 2}, "tokens 2 to 2 of 2"),
        ({"function": "f", "tokens": [1, -2]}, "list of token ids"),
        ({"function": "f", "tokens": [1, True]}, "list of token ids"),
        ({"function": "f", "tokens": [1, 2], "split": "train"}, "split 'train'"),
        ({"function": "f", "tokens": [1, 2], "answer_start": "1"}, "answer_start is an index"),
        ({"function": "f", "text": "w4 w5"}, "has no tokenizer"),
        ([1], "not a JSON object"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_function_items(lines(tmp_path / "items.jsonl", row))


def test_a_sequence_in_both_splits_and_a_doubled_id_are_refused(tmp_path: Path) -> None:
    row = {"tokens": [1, 2], "answer_start": 1, "function": "f"}
    both = [{**row, "split": "validation"}, {**row, "split": "test"}]
    with pytest.raises(BadInput, match="1 sequences are in both splits"):
        read_function_items(lines(tmp_path / "items.jsonl", *both))
    with pytest.raises(BadInput, match="share 1 ids"):
        read_function_items(lines(tmp_path / "items.jsonl", *[{**row, "id": "x"}] * 2))
    with pytest.raises(BadInput, match="holds no item"):
        read_function_items(lines(tmp_path / "items.jsonl"))
