"""`interp ability maet`: a sweep chooses what is written, and refuses what it does not try."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.cli.app import app
from interp.evaluation.comparison import Comparison
from interp.results.errors import BadInput
from tests.abilities.learning import small_llama, write_examples, write_items

TABLE = ["--items", "items.jsonl", "--targets", "D", "--language", "adapted", "--share", "0.2"]


@pytest.mark.parametrize("wanted", ["--sweep", "--ablations"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--alpha", "0.5"), ("--mu", "0.5"), ("--eta-rest", "0"), ("--select", "most")],
)
def test_a_setting_that_the_table_does_not_try_is_refused_by_name(
    tmp_path: Path, wanted: str, option: str, value: str
) -> None:
    files = ["base", "ability.jsonl", "general.jsonl", "--out", str(tmp_path / "out")]
    arguments = ["ability", "maet", *files, *TABLE, wanted, option, value]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, BadInput)
    assert f"do not try {option}" in str(error)


def test_a_sweep_writes_the_model_of_the_setting_that_won(tmp_path: Path) -> None:
    base, out = small_llama(tmp_path / "base"), tmp_path / "out"
    ability = write_examples(tmp_path / "ability.jsonl", seed=1)
    general = write_examples(tmp_path / "general.jsonl", seed=2)
    short = ["--steps", "10", "--warmup", "2", "--batch-size", "16", "--lr", "0.01"]
    language = train_ability(
        base,
        general,
        tmp_path / "language",
        recipe=TrainingRecipe(steps=10, lr=1e-2, warmup=2, seed=5),
    )
    arguments = [
        *("ability", "maet", base, ability, general, "--language", language, "--out", out),
        *("--locator", "magnitude", "--share", "0.3", "--sweep", "--settings", "16", "--json"),
        *("--items", write_items(tmp_path / "items.jsonl", n=4), "--targets", "D,E", *short),
    ]
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = {row.key: row for row in Comparison.load(out / "comparison").rows}
    assert {"maet", "random_entries", "plain_addition", "plain_analogy"} <= rows.keys()
    recipe = json.loads((out / "model" / "interp.json").read_text())["recipe"]
    (gamma,), (taken,) = recipe["gamma"], recipe["abilities"]
    written = {"beta": taken["beta"], "gamma": gamma, "eta": recipe["eta"], "k2": recipe["k2"]}
    assert written == rows["maet"].setting
    assert json.loads(result.stdout)["parts"]["model"] == str(out / "model")
