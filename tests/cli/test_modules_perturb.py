"""`interp modules perturb` on a model built by hand: the table, the JSON, bad input."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interp.cli import app
from interp.modules.perturbation import PerturbationResult, write_function_items
from tests.modules.perturbation.blocks import items, partition, scores, write_block_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, its scores and partition, and the items."""
    root = tmp_path_factory.mktemp("perturb")
    write_block_model(root / "model")
    scores().save(root / "scores")
    partition().save(root / "partition")
    write_function_items(root / "items.jsonl", items())
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words)`: exit code, standard output and standard error of the command."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp", "modules", "perturb", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def given(place: Path) -> tuple[Path, ...]:
    return place / "model", place / "scores", place / "partition"


def test_the_table_shows_whether_modules_do_what_they_are_named_for(
    run: Run, place: Path, tmp_path: Path
) -> None:
    data, out = place / "items.jsonl", tmp_path / "found"
    figures = tmp_path / "figures"
    code, said, _ = run(
        *given(place), "--items", data, "--out", out, "--draws", 2, "--figures", figures
    )
    assert {page.stem for page in figures.glob("*.html")} == {"drops", "own_against_random"}
    assert code == 0
    assert "f0's" in said
    assert "random neurons of equal mass" in said
    assert "Own minus other, mean over functions: 0.750" in said
    assert "whole blocks.0.mlp.hook_post" in said
    assert PerturbationResult.load(out).own().tolist() == [1, 1, 1, 0]


def test_json_is_one_object_with_every_table(run: Run, place: Path, tmp_path: Path) -> None:
    words = ("--items", place / "items.jsonl", "--out", tmp_path / "found", "--draws", 1, "--json")
    code, said, _ = run(*given(place), *words, "--mode", "zero", "--by", "neurons")
    content = json.loads(said)
    assert code == 0
    assert content["chosen_by"] == "neurons"
    assert content["measures"]["accuracy"]["own_minus_other"][0] == 0.75
    assert content["nothing_to_find"] == ["direct"]


def test_bad_input_is_one_line_and_writes_nothing(run: Run, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    code, _, err = run(*given(place), "--items", place / "none.jsonl", "--out", out)
    assert (code, out.exists()) == (2, False)
    assert "expected jsonl with function" in err
    data = place / "items.jsonl"
    code, _, err = run(*given(place), "--items", data, "--out", out, "--mode", "melt")
    assert (code, out.exists()) == (2, False)
    assert "mode 'melt': expected one of mean, zero" in err
