"""`interp ability align`, from a file of preferences to a model directory."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.results.errors import BadInput, InterpError
from tests.abilities.allo.preferences import write_pairs
from tests.abilities.learning import small_llama

SHORT = ["--lr", "1e-3", "--batch-size", "6"]


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
    place = tmp_path_factory.mktemp("cli")
    small_llama(place / "base", num_hidden_layers=1)
    write_pairs(place / "pairs.jsonl")
    return place


def test_align_says_its_budget_and_what_every_stage_may_move(place: Path, tmp_path: Path) -> None:
    said = run("align", place / "base", place / "pairs.jsonl", "--out", tmp_path / "aligned",
               "--steps", "3,2,4", *SHORT)  # fmt: skip
    assert "warmup: 3 steps on 18 pairs" in said
    assert "forget: 2 steps" in said
    assert "9 steps in all" in said
    assert "12 of 24 pairs have no token weights" in said


def test_json_is_one_object_and_settings_reach_their_stage(place: Path, tmp_path: Path) -> None:
    said = run("align", place / "base", place / "pairs.jsonl", "--out", tmp_path / "aligned",
               "--steps", "2", "--share-forget", "0.2", "--share-learn", "0.3", "--epsilon", "0.5",
               "--select", "smallest", "--json", *SHORT)  # fmt: skip
    assert said.count("\n") == 1
    result = json.loads(said)
    n = result["n_entries"]
    assert [stage["entries"] for stage in result["stages"]] == [n, int(0.2 * n), int(0.3 * n)]
    recipe = json.loads((tmp_path / "aligned" / "interp.json").read_text())["recipe"]["align"]
    learn = recipe["recipe"]["stages"][2]
    assert (learn["epsilon"], learn["select"], learn["steps"]) == (0.5, "smallest", 2)


def test_plain_dpo_is_one_of_the_stages(place: Path, tmp_path: Path) -> None:
    said = run("align", place / "base", place / "pairs.jsonl", "--out", tmp_path / "dpo",
               "--stages", "dpo", "--steps", "2", "--json", *SHORT)  # fmt: skip
    assert [stage["stage"] for stage in json.loads(said)["stages"]] == ["dpo"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "1,2"], "one number, or one for each of warmup,forget,learn"),
        (["--lr", "fast"], "expected numbers"),
        (["--stages", "warmup,rest"], "no stage 'rest'"),
        (["--stages", "dpo", "--share-learn", "0.5"], "no stage 'learn'"),
        (["--weights", "blame"], "no column 'blame'"),
        (["--locator", "fisher"], "needs more than a warm-up's change"),
        (["--preset", "released"], "no column 'rejected_probabilities'"),
    ],
)
def test_wrong_use_is_refused_in_one_line(
    place: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    error = failing("align", place / "base", place / "pairs.jsonl", "--out", tmp_path / "o",
                    *options)  # fmt: skip
    assert isinstance(error, BadInput)
    assert message in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "o").exists()
