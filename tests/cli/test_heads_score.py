"""`interp heads list` and `interp heads score` as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.heads.registry import registry
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from tests.models import D_VOCAB, tiny_model_directory

RUN = CliRunner()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_directory("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    lines = [" ".join(f"w{i}" for i in rng.integers(4, D_VOCAB, 30)) for _ in range(6)]
    file = tmp_path_factory.mktemp("text") / "text.jsonl"
    file.write_text("\n".join(json.dumps({"text": line}) for line in lines))
    return file


def score(model: Path, text: Path, out: Path, *more: str):
    named = ("--detector", "previous_token", "--detector", "prefix_matching")
    fixed = ("--sequences", "6", "--length", "24", "--draws", "99")
    arguments = ["heads", "score", str(model), "--text", str(text), "--out", str(out)]
    return RUN.invoke(app, [*arguments, *named, *fixed, *more])


def test_list_names_every_detector_with_its_null_and_source() -> None:
    shown = RUN.invoke(app, ["heads", "list"]).output
    listed = json.loads(RUN.invoke(app, ["heads", "list", "--json"]).output)
    assert [one["name"] for one in listed] == list(registry())
    for one in listed:
        assert one["name"] in shown
        assert one["source"] in shown
        assert one["null"] in shown


def test_score_shows_chance_beside_every_score_and_saves_the_finding(
    model: Path, text: Path, tmp_path: Path
) -> None:
    result = score(model, text, tmp_path / "scores")
    assert result.exit_code == 0, result.output
    saved = HeadScores.load(tmp_path / "scores")
    assert saved.names == ("previous_token", "prefix_matching")
    assert saved.provenance.model_hash is not None
    heading = result.stdout.splitlines()[0]
    assert heading.split() == [
        *("column", "head", "score", "95%", "interval", "by", "chance", "z", "p", "adj", "q"),
        "sequences",
    ]
    assert f"{saved.array('null_mean', 'previous_token')[saved.top('previous_token')[0]]:.3f}" in (
        result.output
    )
    assert "of 12 heads at family-wise .05" in result.output


def test_json_is_one_object_with_every_column(model: Path, text: Path, tmp_path: Path) -> None:
    result = score(model, text, tmp_path / "scores", "--json")
    found = json.loads(result.stdout)
    assert [column["name"] for column in found["columns"]] == ["previous_token", "prefix_matching"]
    assert all(column["n_tested"] == 12 for column in found["columns"])


def test_what_is_there_is_not_replaced_unless_told(model: Path, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    out.mkdir()
    (out / "kept").touch()
    result = score(model, text, out)
    assert isinstance(result.exception, BadInput)
    assert (out / "kept").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--draws", "0"], "--draws 0: give at least 1"),
        (["--sequences", "0"], "--sequences 0"),
        (["--offset", "2", "--detector", "previous_token"], "--offset is read by"),
        (["--pattern", "p.npy"], "--pattern is read by"),
        (["--detector", "pattern", "--detector", "pattern"], "given twice"),
    ],
)
def test_what_has_no_meaning_is_refused_at_the_door(wrong, said, tmp_path) -> None:
    words = ["heads", "score", "polyglot", "--text", "none.txt", "--out", str(tmp_path / "no")]
    with pytest.raises(BadInput, match=said):
        CliRunner().invoke(app, [*words, *wrong], catch_exceptions=False)
