"""`interp heads icl` on a tiny series: what a user types and sees."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.heads.icl import LevelCurves
from interp.results.errors import BadInput, Unsupported
from tests.heads.icl.making import content
from tests.models import tiny_model_directory


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("series")
    for step in (0, 4):
        tiny_model_directory("gpt2", root / f"step-{step}", seed=step)
    (root / "tasks.json").write_text(json.dumps(content()))
    return root


def run(*words: object):
    return CliRunner().invoke(app, ["heads", "icl", *map(str, words)])


def test_a_series_is_measured_and_the_finding_opens(series: Path, tmp_path: Path) -> None:
    asked = ("--tasks", series / "tasks.json", "--shots", "0,2", "--prompts", 8, "--out")
    result = run(series, *asked, tmp_path / "levels")
    assert result.exit_code == 0, result.output
    assert "by chance" in result.output or "chance" in result.output
    assert "loss reduction was not measured" in result.output
    assert LevelCurves.load(tmp_path / "levels").steps == (0, 4)
    as_json = run(f"{series}@4", *asked, tmp_path / "one", "--json")
    assert json.loads(as_json.stdout)["steps"] == [4]


@pytest.mark.parametrize("listed", ["a", "1,,2", ""])
def test_shots_that_are_no_numbers_are_refused(series: Path, tmp_path: Path, listed: str) -> None:
    result = run(series, "--shots", listed, "--out", tmp_path / "no")
    assert isinstance(result.exception, BadInput)
    assert "whole numbers with commas" in str(result.exception)


def test_prompts_beyond_the_context_are_refused_before_anything_is_written(
    series: Path, tmp_path: Path
) -> None:
    result = run(series, "--tasks", series / "tasks.json", "--out", tmp_path / "no")
    assert isinstance(result.exception, BadInput)
    assert "the model's context is 64" in str(result.exception)
    assert not (tmp_path / "no").exists()


def test_without_tasks_that_can_be_asked_loss_reduction_alone_is_measured(
    series: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog ran " * 80)
    result = run(f"{series}@4", "--text", text, "--packing", "pack", "--length", 32,
                 "--out", tmp_path / "loss")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "The English tasks were not asked" in result.output
    found = LevelCurves.load(tmp_path / "loss")
    assert found.tasks == () and found.loss.shape[-1] > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--shots", "-1"], "below 0"),
        (["--prompts", 0], "--prompts 0"),
        (["--sequences", 0], "--sequences 0"),
    ],
)
def test_numbers_without_meaning_are_refused(
    wrong: list[object], said: str, series: Path, tmp_path: Path
) -> None:
    result = run(series, *wrong, "--out", tmp_path / "no")
    assert isinstance(result.exception, BadInput)
    assert said in str(result.exception)


def test_a_model_that_is_no_decoder_is_told_before_its_words(model_directory, tmp_path) -> None:
    result = run(model_directory("bert"), "--out", tmp_path / "no")
    assert isinstance(result.exception, Unsupported)
    assert "a decoder is expected" in str(result.exception)
