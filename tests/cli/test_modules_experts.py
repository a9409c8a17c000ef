"""`interp modules experts`: the table with its null, the JSON, what is written, bad input."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.cli import app
from interp.modules.functional import FunctionalExperts
from interp.neurons.scores import NeuronScores
from interp.neurons.specialization import Specialization
from tests.modules.functional.test_functional import blocks, planted

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words)`: exit code, standard output and standard error of the command."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp", "modules", "experts", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Scores and partitions of two layers with planted experts."""
    for layer, homes in enumerate(([1, 4], [2, 2])):
        site = f"blocks.{layer}.mlp.hook_post"
        replace(planted(192, 12, homes, 12, seed=layer), site=site).save(tmp_path / f"s{layer}")
        replace(blocks(192, 12), site=site).save(tmp_path / f"p{layer}")
    return tmp_path


def test_the_table_shows_planted_experts_beside_chance(run: Run, place: Path) -> None:
    several = Specialization(sites=tuple(NeuronScores.load(place / f"s{i}") for i in range(2)))
    several.save(place / "several")
    code, out, _ = run(
        place / "several", place / "p1", place / "p0", "--out", place / "found",
        "--figures", place / "figures",
    )  # fmt: skip
    assert code == 0
    pages = {page.stem for page in (place / "figures").glob("*.html")}
    assert pages == {"experts_0", "experts_1"}
    assert "blocks.1.mlp.hook_post" in out
    assert "2 of 2 functions have an expert" in out
    assert "random" in out
    found = FunctionalExperts.load(place / "found")
    assert found.functional().sum() == 4
    assert found.functional()[[0, 0, 1, 1], [0, 1, 0, 1], [1, 4, 2, 2]].all()


def test_scores_of_several_sites_in_one_finding_serve_the_sites_with_a_partition(
    run: Run, place: Path
) -> None:
    several = Specialization(sites=tuple(NeuronScores.load(place / f"s{i}") for i in range(2)))
    several.save(place / "several")
    both = [place / "p0", place / "p1"]
    for partitions, n in ((both, 2), (both[1:], 1)):
        code, out, _ = run(place / "several", *partitions, "--out", place / f"found{n}", "--json")
        assert code == 0
        assert len(json.loads(out)["layers"]) == n


def test_json_is_one_object_without_nan(run: Run, place: Path) -> None:
    code, out, _ = run(place / "s0", place / "p0", "--out", place / "found", "--json")
    content = json.loads(out)
    assert code == 0
    assert {entry["expert"] for entry in content["functional"]} == {1, 4}
    assert content["layers"][0]["rules"]["published"]["functions_with_an_expert"] == 2
    assert np.isfinite(content["layers"][0]["min_p"])


def test_bad_input_is_one_line(run: Run, place: Path) -> None:
    code, _, err = run(place / "s0", place / "p1", "--out", place / "found")
    assert code == 2
    assert "one of each for every site" in err
    code, _, err = run(place / "s0", place / "p0", "--out", place / "found", "--fraction", "0.8")
    assert code == 2
    assert "fraction 0.8" in err
    assert not (place / "found").exists()
