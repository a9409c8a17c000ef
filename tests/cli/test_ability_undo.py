"""`interp ability undo`: what it prints, as text and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.models.identity import model_identity
from tests.abilities.checkpoints import near, random_tensors, write_model


def invoke(*arguments):
    words = ["ability", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def place(tmp_path):
    base = random_tensors(0)
    write_model(tmp_path / "base", base)
    write_model(tmp_path / "ability", near(base, 1))
    invoke("extract", tmp_path / "base", tmp_path / "ability", "--out", tmp_path / "weights")
    return tmp_path


def test_a_transfer_says_what_undoes_it_and_undo_what_it_restored(place):
    words = ["transfer", place / "base", place / "weights", "--out", place / "out"]
    assert "by a copy of the base" in invoke(*words)
    kept = invoke(*words, "--overwrite", "--undo", "full")
    assert "the changed bits are kept inside" in kept
    shown = invoke("undo", place / "out", "--out", place / "back")
    assert "252 entries as they were" in shown
    assert "from the bits kept in the model" in shown
    again = json.loads(
        invoke("undo", place / "out", "--base", place / "base", "--out", place / "b", "--json")
    )
    assert again["root"] == model_identity(place / "base").root
    assert again["source"] == "base"


def test_a_transfer_into_some_types_alone_says_how_many_tensors_it_went_into(place):
    words = ["transfer", place / "base", place / "weights", "--out", place / "out"]
    shown = invoke(*words, "--types", "norm, embed", "--saturate")
    assert "added in 3 tensors of 3" in shown
    assert "the changed bits are kept inside" in shown
