"""`interp heads score` with the detectors that run when named, their settings and figures."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.cli.heads.settings import settings_from
from interp.heads.function_vectors.tasks import Pair, Task, write_tasks
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from tests.heads.retrieval.planted import write_planted

LINES = ["--set", "n_lines=6", "--set", "n_haystacks=6"]


def test_retrieval_says_its_cost_finds_the_planted_head_and_draws(tmp_path: Path) -> None:
    model = write_planted(tmp_path / "planted")
    out, figures = tmp_path / "scores", tmp_path / "figures"
    arguments = ["heads", "score", str(model), "--detector", "retrieval", *LINES]
    more = ["--out", str(out), "--figures", str(figures), "--draws", "200", "--json"]
    result = CliRunner().invoke(app, [*arguments, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "retrieval: 6 prompts and 12 written tokens, about " in result.stderr
    (column,) = json.loads(result.stdout)["columns"]
    assert column["significant"] == ["L1H2"] and column["notes"]["solved"] == 6
    assert HeadScores.load(out).settings["retrieval"]["n_lines"] == 6
    drawn = json.loads((figures / "interp.json").read_text())["figures"]
    assert drawn == ["map-retrieval", "volcano-share-of-the-needle"]
    assert "L1H2" in (figures / "volcano-share-of-the-needle.html").read_text()


def test_function_vectors_read_their_tasks_and_settings(
    model_directory: Callable[[str], Path], tmp_path: Path
) -> None:
    pairs = tuple(Pair(f"w{i}", f"w{i + 20}") for i in range(20, 32))
    write_tasks(tmp_path / "t.jsonl", [Task(name="next", pairs=pairs)])
    small = {"n_shots": "2", "n_donors": "3", "n_trials": "2", "donor_draws": "2"}
    small["template"] = "w10 {input} w11 {output} w12 "
    sets = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    base = ["heads", "score", str(model_directory("llama")), "--detector", "function_vector"]
    more = ["--items", str(tmp_path / "t.jsonl"), "--out", str(tmp_path / "s"), *sets]
    result = CliRunner().invoke(app, [*base, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "function_vector: 11 prompts and 72 single tokens, about " in result.stderr
    assert "of 12 heads at family-wise .05" in result.stdout


def test_settings_have_the_kind_of_their_field() -> None:
    read = settings_from(["n_shots=5", "lengths=[64,128]", "depths=0.5", "template=a\\n{input}"])
    assert read == {
        "n_shots": 5,
        "lengths": (64, 128),
        "depths": (0.5,),
        "template": "a\n{input}",
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("n_shot=5", "expected NAME=VALUE with one of .*n_shots"),
        ("n_shots", "expected NAME=VALUE"),
        ("seed=3", "expected NAME=VALUE"),
        ("n_shots=many", "expected a number"),
        ("n_shots=[1,2]", "expected one whole number"),
        ("n_shots=true", "expected one whole number"),
        ("lengths=[0.5]", "expected numbers"),
        ("depths=[]", "expected numbers"),
    ],
)
def test_a_setting_that_no_detector_has_is_refused(setting: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        settings_from([setting])
