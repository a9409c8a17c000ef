"""`interp ability extract`, `transfer` and `inspect`: what they print, as text and as JSON."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.abilities.masks.mask import NeuronMask
from interp.cli.app import app, main
from interp.models.identity import model_identity
from interp.results.provenance import Provenance
from tests.abilities.checkpoints import SHAPES, near, random_tensors, write_model

MATRIX = "model.layers.1.mlp.weight"


def invoke(*arguments):
    words = ["ability", *map(str, arguments)]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def as_json(*arguments):
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.fixture
def place(tmp_path):
    base = random_tensors(0)
    write_model(tmp_path / "base", base)
    for i, name in enumerate(["ability", "control", "language"]):
        write_model(tmp_path / name, near(base, i + 1))
    mask = NeuronMask.from_dense(
        {MATRIX: np.eye(9, 6, dtype=bool)},
        level="entry",
        recipe={"locator": "eye"},
        base=model_identity(tmp_path / "base"),
        provenance=Provenance.collect(
            "t", model_hash=None, corpus_hash=None, seed=None, settings={}
        ),
    )
    mask.save(tmp_path / "mask")
    return tmp_path


def test_from_models_to_a_transferred_model(place):
    taken = as_json(
        "extract",
        place / "base",
        place / "ability",
        *("--general", place / "control", "--mask", place / "mask", "--out", place / "weights"),
    )
    assert taken["count"] == 6
    assert taken["n"] == 252
    assert taken["recipe"]["beta"] == 0.25
    made = as_json(
        "transfer",
        place / "base",
        place / "weights",
        *("--language", place / "language", "--out", place / "out"),
        *("--hash-cache", place / "hashes.json"),
    )
    assert made["root"] == model_identity(place / "out").root
    assert made["selected"] == [[MATRIX]]
    assert made["similarity"][0][0]["tensor"] == MATRIX
    assert json.loads((place / "hashes.json").read_text()) is not None


def test_the_plain_preset_is_the_sum_of_two_vectors(place):
    taken = as_json(
        "extract",
        place / "base",
        place / "ability",
        *("--general", place / "control", "--preset", "plain", "--out", place / "weights"),
    )
    assert taken["recipe"]["beta"] == 0.0
    assert taken["count"] == 252
    made = as_json(
        "transfer",
        place / "base",
        place / "weights",
        *("--language", place / "language", "--preset", "plain", "--out", place / "out"),
    )
    assert len(made["selected"][0]) == len(SHAPES)
    assert made["similarity"] == [[]]


def test_inspect_counts_by_tensor_type_and_layer(place):
    invoke("extract", place / "base", place / "ability", "--out", place / "weights")
    mask = as_json("inspect", place / "mask")
    assert mask["kind"] == "mask"
    assert mask["total"] == {"count": 6, "entries": 252, "norm": None}
    assert mask["by_layer"] == {"1": {"count": 6, "entries": 54, "norm": None}}
    weights = as_json("inspect", place / "weights")
    assert list(weights["by_layer"]) == ["-", "0", "1"]
    assert weights["by_type"]["mlp"]["entries"] == 108
    squares = [group["norm"] ** 2 for group in weights["by_type"].values()]
    assert weights["total"]["norm"] ** 2 == pytest.approx(sum(squares))
    shown = invoke("inspect", place / "weights").stdout
    assert "  mlp " in shown
    assert "252 of 252 (1.0000), norm" in shown


def test_inspect_of_a_transferred_model_tells_its_ancestors_and_checks_its_weights(
    place, monkeypatch, capsys
):
    invoke("extract", place / "base", place / "ability", "--out", place / "weights")
    text = invoke("transfer", place / "base", place / "weights", "--out", place / "out").stdout
    assert "entries changed" in text
    shown = as_json("inspect", place / "out")
    assert shown["ancestors"] == [model_identity(place / "base").root]
    assert root_of(place / "base") in invoke("inspect", place / "out").stdout
    file = place / "out" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert_refused(monkeypatch, capsys, ["inspect", place / "out"], "not those")


def root_of(directory):
    return model_identity(directory).root


def assert_refused(monkeypatch, capsys, arguments, word):
    monkeypatch.setattr(sys, "argv", ["interp", "ability", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("interp: ")
    assert word in error


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["inspect", "{place}"], "give a mask"),
        (["inspect", "{place}/base"], "give a mask"),
        (["extract", "{place}/base", "{place}/nothing", "--out", "{place}/out"], "no directory"),
        (
            ["extract", "{place}/base", "{place}/ability", "--out", "{place}/out", "--beta", "1"],
            "--general",
        ),
        (
            ["extract", "{place}/base", "{place}/ability", "--out", "{place}/out"]
            + ["--mask", "{place}/mask", "--preset", "plain"],
            "--preset plain",
        ),
        (["transfer", "{place}/base", "{place}/mask", "--out", "{place}/out"], "interp.mask/1"),
        (
            ["transfer", "{place}/base", "{place}/mask", "--out", "{place}/out", "--k2", "0.5"],
            "give --language",
        ),
        (["extract", "{place}/base", "{place}/ability", "--out", "{place}/base"], "--overwrite"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    place, monkeypatch, capsys, arguments, word
):
    filled = [argument.format(place=place) for argument in arguments]
    assert_refused(monkeypatch, capsys, filled, word)
    assert not (place / "out").exists()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("extract", "--alpha"),
        ("extract", "--beta"),
        ("transfer", "--gamma"),
        ("transfer", "--mu"),
        ("transfer", "--eta"),
        ("transfer", "--eta-rest"),
    ],
)
def test_a_coefficient_that_is_no_number_is_refused_by_name(
    place, monkeypatch, capsys, command, option, value
):
    base, ability, language = (place / name for name in ("base", "ability", "language"))
    arguments = [command, base, ability, "--general", language, "--out", place / "out"]
    if command == "transfer":
        invoke("extract", base, ability, "--mask", place / "mask", "--out", place / "weights")
        arguments = [command, base, place / "weights", "--language", language, "--out"]
        arguments.append(place / "out")
    filled = [*map(str, arguments), f"{option}={value}"]
    name = option.strip("-").replace("-", "_")
    assert_refused(monkeypatch, capsys, filled, f"{name} is {value}: expected a finite number")
    assert not (place / "out").exists()


def test_inspect_does_not_let_a_file_steer_the_terminal(place):
    lineage = {
        "schema": "interp.model/1",
        "root": model_identity(place / "base").root,
        "ancestors": [],
        "recipe": {"made_by": "\x1b[31m"},
        "provenance": Provenance.collect(
            "t", model_hash=None, corpus_hash=None, seed=None, settings={}
        ).to_json(),
    }
    (place / "base" / "interp.json").write_text(json.dumps(lineage))
    assert "made_by" in invoke("inspect", place / "base").stdout
    # Names of tensors cannot: control characters in them are refused when a file is opened.
    assert "\x1b" not in invoke("inspect", place / "base").stdout


@pytest.mark.parametrize("command", ["extract", "transfer", "inspect"])
def test_the_help_of_every_command_has_an_example(command):
    text = invoke(command, "--help").stdout
    assert f"Example: interp ability {command}" in " ".join(text.split())
