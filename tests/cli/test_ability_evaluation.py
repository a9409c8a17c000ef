"""`interp ability evaluate` and `side-effects`, from files to files."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.abilities.effects.side_effects import SideEffects
from interp.cli.app import app
from interp.evaluation.evaluation import ANSWERS, Evaluation
from interp.results.errors import BadInput, InterpError
from tests.abilities.learning import small_llama, write_items


def run(*arguments: object) -> str:
    """What the command prints on standard output; our errors are raised as they are."""
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def failing(*arguments: object) -> InterpError:
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)])
    assert isinstance(result.exception, InterpError), result.output
    return result.exception


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, items and a text."""
    place = tmp_path_factory.mktemp("cli")
    small_llama(place / "base")
    small_llama(place / "other", seed=1)
    write_items(place / "items.jsonl")
    (place / "text.txt").write_text("w4 w5 w6\nw7 w8 w9\n")
    return place


def test_evaluate_writes_an_evaluation_with_every_answer(place: Path, tmp_path: Path) -> None:
    said = run("evaluate", place / "base", place / "other", "--items", place / "items.jsonl",
               "--split", "test", "--out", tmp_path / "out")  # fmt: skip
    table = Evaluation.load(tmp_path / "out")
    assert said.strip() == table.text_table().strip()
    assert len(table.questions) == 48
    assert len((tmp_path / "out" / ANSWERS).read_text().splitlines()) == 48


def test_the_options_are_the_protocol_that_is_saved(place: Path, tmp_path: Path) -> None:
    said = run("evaluate", place / "base", "--items", place / "items.jsonl", "--rule", "generate",
               "--max-new-tokens", "3", "--stop", "\n", "--marker", "so:", "--json",
               "--out", tmp_path / "out")  # fmt: skip
    protocol = json.loads(said)["protocol"]
    assert protocol["rule"] == "generate" and protocol["max_new_tokens"] == 3
    assert protocol["stop"] == ["\n"] and protocol["normaliser"]["markers"] == ["so:"]
    assert Evaluation.load(tmp_path / "out").protocol.to_json() == protocol


def test_side_effects_prints_what_it_writes(place: Path, tmp_path: Path) -> None:
    models = ("side-effects", place / "base", place / "other", "--items", place / "items.jsonl")
    command = (*models, "--text", place / "text.txt", "--targets", "D", "--out", tmp_path / "out")
    said = run(*command)
    report = SideEffects.load(tmp_path / "out")
    assert said.strip() == report.text_table().strip()
    assert report.targets == ("ability/D",) and len(report.texts) == 1
    printed = json.loads(run(*command, "--overwrite", "--json"))
    assert printed == {"path": str(tmp_path / "out")} | json.loads(json.dumps(report.to_json()))


def test_what_is_there_is_not_overwritten_before_any_work(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    for verb in ("evaluate", "side-effects"):
        error = failing(verb, "no-such-model", "neither", "--items", place / "items.jsonl",
                        "--out", tmp_path / "out")  # fmt: skip
        assert isinstance(error, BadInput) and str(tmp_path / "out") in str(error)


def test_a_target_without_items_is_an_error_of_one_line(place: Path, tmp_path: Path) -> None:
    error = failing("side-effects", place / "base", place / "other", "--items",
                    place / "items.jsonl", "--targets", "Q", "--out", tmp_path / "out")  # fmt: skip
    assert "'ability/Q'" in str(error) and "\n" not in str(error)
    assert not (tmp_path / "out").exists()
