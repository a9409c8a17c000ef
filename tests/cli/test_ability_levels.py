"""`interp ability locate --level` and `overlap`: what they print, write and refuse."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.abilities.masks.mask import NeuronMask
from interp.cli.app import app
from interp.results.errors import BadInput
from tests.abilities.learning import small_llama, write_examples


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("levels")
    small_llama(place / "base")
    write_examples(place / "ability.jsonl", n=8)
    located = ["locate", place / "base", place / "ability.jsonl", "--level", "neuron"]
    for locator in ("magnitude", "random"):
        invoke(*located, "--locator", locator, "--share", "0.25", "--out", place / locator)
    return place


def invoke(*arguments: object, refused: bool = False) -> str:
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)])
    if not refused:
        assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_units_are_counted_by_layer(place: Path) -> None:
    mask = NeuronMask.load(place / "magnitude")
    assert mask.units is not None and mask.units.count == 12
    shown = invoke("inspect", place / "magnitude")
    assert "12 of 48 units of kind neuron" in shown
    as_json = json.loads(invoke("inspect", place / "magnitude", "--json"))
    ids = as_json["units"]["ids"]
    assert sum(len(row) for row in ids.values()) == 12
    assert as_json["units"]["by_layer"]["0"] == [len(ids["0"]), 24]


def test_heads_say_what_of_shared_keys_they_take(place: Path, tmp_path: Path) -> None:
    arguments = ["locate", place / "base", place / "ability.jsonl", "--locator", "magnitude"]
    heads = [*arguments, "--level", "head", "--share", "0.5", "--unit-score", "l2"]
    text = invoke(*heads, "--kv", "any", "--out", tmp_path / "heads")
    assert "4 of 8 heads" in text and "(kv any)" in text
    found = json.loads(invoke(*heads, "--out", tmp_path / "strict", "--json"))
    assert found["level"] == "head" and found["units"]["kv"] == "strict"
    assert found["recipe"]["entries"].keys() == {"q_head", "kv_head"}
    assert found["recipe"]["unit_score"] == "l2"
    null = invoke(
        *["locate", place / "base", "--locator", "random", "--like", tmp_path / "heads"],
        *["--out", tmp_path / "null"],
    )
    assert "4 of 8 heads" in null


def test_an_overlap_shows_every_pair_against_chance(place: Path, tmp_path: Path) -> None:
    pair = [place / "magnitude", place / "random"]
    text = invoke("overlap", *pair, place / "magnitude")
    assert text.count("by chance") == 6 and "Holm over 3 pairs" in text
    found = json.loads(invoke("overlap", *pair, "--json"))
    (only,) = found["pairs"]
    assert only["of"] == "neuron" and only["n"] == 48 and only["p_holm"] <= 1
    assert only["stratified"]["n_strata"] == 2 and only["can_succeed"]
    rest = tmp_path / "rest"
    written = json.loads(
        invoke("overlap", *pair, "--write", "difference", "--out", rest, "--json")
    )["written"]
    mask = NeuronMask.load(rest)
    assert mask.count == written["count"]
    assert mask.units is not None and mask.units.count == 12 - only["shared"]


def test_what_an_overlap_refuses(place: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ([place / "random"], "two masks or more"),
        ([place / "random"] * 2 + ["--write", "union"], "give both or neither"),
    ):
        result = CliRunner().invoke(app, ["ability", "overlap", *map(str, arguments)])
        assert isinstance(result.exception, BadInput) and message in str(result.exception)
    command = ["ability", "locate", "x", "--locator", "lape", "--text", "english.jsonl"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "m")])
    assert isinstance(result.exception, BadInput) and "NAME=FILE" in str(result.exception)
