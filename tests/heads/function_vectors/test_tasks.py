"""Files of tasks: what is read, and the line that is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.function_vectors.prompts import Shots, Template, split_pairs
from interp.heads.function_vectors.tasks import Pair, Task, read_tasks, write_tasks
from interp.results.errors import BadInput


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tasks = (
        Task(name="capital", pairs=(Pair("Chile", "Santiago"), Pair("日本", "東京"))),
        Task(name="antonym", pairs=(Pair("hot", "cold"),)),
    )
    write_tasks(tmp_path / "t.jsonl", tasks)
    assert read_tasks(tmp_path / "t.jsonl") == tasks


def test_a_line_without_a_task_belongs_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "plural.jsonl").write_text('{"input": "cat", "output": "cats"}\n\n')
    assert read_tasks(tmp_path / "plural.jsonl")[0].name == "plural"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ('{"input": "a"}', "line 2 lacks the text field 'output'"),
        ('{"input": "a", "output": 3}', "line 2 lacks the text field 'output'"),
        ('{"input": "a", "output": "\\ud800"}', "line 2: output holds half a character"),
        ('{"input": "hot", "output": "warm"}', "line 2: task 't' has the input 'hot' already"),
    ],
)
def test_the_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"input": "hot", "output": "cold"}\n' + line + "\n")
    with pytest.raises(BadInput, match=message):
        read_tasks(file)


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(BadInput, match="holds no pair"):
        read_tasks(tmp_path / "empty.jsonl")
    with pytest.raises(BadInput, match="is not a file"):
        read_tasks(tmp_path / "none.jsonl")


def test_a_prompt_ends_where_the_answer_starts() -> None:
    shots = Shots((Pair("hot", "cold"), Pair("{output}", "{input}")), Pair("up", "down"))
    assert Template().write(shots) == (
        "Q: hot\nA: cold\n\nQ: {output}\nA: {input}\n\nQ: up\nA:",
        " down",
    )


@given(n=st.integers(0, 60), n_shots=st.integers(1, 12))
def test_a_split_leaves_more_to_show_than_shots_or_says_how_many_pairs_it_needs(
    n: int, n_shots: int
) -> None:
    import re

    import numpy as np

    task = Task(name="t", pairs=tuple(Pair(str(i), str(i)) for i in range(n)))
    rng = np.random.default_rng(0)
    try:
        split = split_pairs(task, n_shots=n_shots, rng=rng)
    except BadInput as error:
        least = int(re.search(r"at least (\d+)", str(error)).group(1))  # pyright: ignore
        assert n < least
        more = Task(name="t", pairs=tuple(Pair(str(i), str(i)) for i in range(least)))
        split = split_pairs(more, n_shots=n_shots, rng=rng)
    assert len(split.shown) > n_shots and split.asked and split.held_out
    assert len({*split.shown, *split.asked, *split.held_out}) == sum(map(len, split))
