"""Items from files, and what is refused before a model is asked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.evaluation.items import (
    Item,
    check_disjoint,
    gather_items,
    items_hash,
    read_items,
    split_of,
    write_items,
)
from interp.results.errors import BadInput


def item(**changes: object) -> Item:
    fields = {
        "id": "a",
        "prompt": "w4 w5",
        "answer": "w6",
        "task": "ability",
        "language": "D",
        "split": "test",
    }
    return Item(**{**fields, **changes})  # type: ignore[arg-type]


texts = st.text(min_size=1, max_size=8)


@given(st.lists(st.tuples(texts, texts, st.sampled_from(["test", "validation"])), max_size=5))
def test_items_written_and_read_again_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    items = [
        item(id=str(number), prompt=prompt, answer=answer, split=split, choices=(answer, "w9"))
        for number, (prompt, answer, split) in enumerate(rows)
    ]
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    write_items(path, items)
    assert read_items(path) == items


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({"id": "x"}), "lacks the text field 'prompt'"),
        (json.dumps({**item().to_json(), "choices": [1]}), "choices must be"),
        (json.dumps({**item().to_json(), "choices": ["w9"]}), "not among its choices"),
        (json.dumps({**item().to_json(), "answer": ""}), "empty answer"),
    ],
)
def test_a_bad_line_is_refused_and_says_why(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(BadInput, match=said):
        read_items(path)


def test_a_doubled_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    write_items(path, [item(), item(prompt="w7")])
    with pytest.raises(BadInput, match="more than once.*'a'"):
        read_items(path)


@pytest.mark.parametrize("shared", [{"prompt": "w9"}, {"id": "b"}])
def test_splits_that_share_an_id_or_a_prompt_are_refused(shared: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="in both splits"):
        check_disjoint([item(split="validation")], [item(**shared)])
    check_disjoint([item(split="validation")], [item(id="b", prompt="w9")])


def test_a_split_without_items_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="'validation': the file has test"):
        split_of([item()], "validation")


def test_one_changed_answer_changes_the_hash() -> None:
    assert items_hash([item()]) != items_hash([item(answer="w7")])


def test_a_prompt_and_an_answer_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text('\n{"prompt": "1 + 1 =", "answer": " 2", "extra": 3}\n')
    (one,) = read_items(path)
    assert (one.id, one.task, one.language, one.split) == ("sums-2", "sums", "-", "test")


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"prompt": "\\ud800", "answer": "x"}\n')
    with pytest.raises(BadInput, match="line 1: prompt holds half a character"):
        read_items(path)


def test_files_without_any_item_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text("\n")
    with pytest.raises(BadInput, match="no item to ask"):
        gather_items([path])
