"""`interp heads ablate`, as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.heads.ablation import AblationResult
from interp.results.errors import BadInput, Mismatch, Unsupported
from probes.relations import draw_documents, write_documents

QUICK = ["--mode", "mean", "--where", "event", "--draws", "2", "--exact", "1"]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents") / "facts.jsonl"
    write_documents(path, draw_documents("binding", n=12, seed=1))
    return path


def run(*arguments: str):
    return CliRunner().invoke(app, ["heads", "ablate", *arguments], catch_exceptions=False)


def test_a_named_head_is_ablated_and_shown_beside_random_heads(documents, tmp_path) -> None:
    out = tmp_path / "found"
    result = run("relations/binding", "--relations", str(documents), "--head", "L1H1",
                 "--out", str(out), "--figures", str(tmp_path / "figures"), *QUICK)  # fmt: skip
    assert result.exit_code == 0
    assert (tmp_path / "figures" / "found-against-random-margin.html").is_file()
    assert "margin lost (logit)" in result.output
    assert "random heads" in result.output
    assert "heads: L1H1." in result.output
    assert AblationResult.load(out).relations == ("owns",)


def test_json_is_one_object_with_every_table(documents, tmp_path) -> None:
    result = run("relations/binding", "--relations", str(documents), "--head", "L1H1", "--json",
                 "--out", str(tmp_path / "found"), *QUICK)  # fmt: skip
    found = json.loads(result.stdout.strip().splitlines()[-1])
    assert found["groups"] == {"heads": ["L1H1"]}
    assert found["columns"] == ["all", "owns"]


def test_what_cannot_be_ablated_is_one_line(documents, tmp_path, model_directory) -> None:
    out = ["--relations", str(documents), "--out", str(tmp_path / "found")]
    with pytest.raises(BadInput, match="no head L9H9: this model has L0H0 to L1H3"):
        run("relations/binding", "--head", "L9H9", *out)
    with pytest.raises(BadInput, match="--head names one group"):
        run("relations/binding", "--head", "L0H0", "--by-relation", *out)
    with pytest.raises((BadInput, Unsupported)):
        run(str(model_directory("t5")), "--head", "L0H0", *out)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--batch-size", "0"], "--batch-size 0: give at least 1"),
        (["--draws", "0"], "--draws 0"),
        (["--exact", "-4"], "--exact -4: give at least 0"),
        (["--alpha", "2"], "--alpha 2.0: give a number from 0 to 1"),
        (["--seed", "-1"], "--seed -1"),
        (["--top", "1"], "--top chooses"),
        (["--shots", "5"], "--shots is for --tasks"),
        (["--other-checkpoint"], "--other-checkpoint is for SCORES"),
    ],
)
def test_what_has_no_meaning_is_refused_before_the_model_is_read(wrong, said, tmp_path) -> None:
    with pytest.raises(BadInput, match=said):
        run("relations/binding", "--relations", "none.jsonl", "--head", "L1H1",
            "--out", str(tmp_path / "found"), *wrong)  # fmt: skip


@pytest.fixture(scope="module")
def other_scores(documents, tmp_path_factory) -> Path:
    """Of an early checkpoint of the model that is ablated."""
    path = tmp_path_factory.mktemp("scores") / "early"
    out = ["--out", str(path), "--draws", "50", "--half", "first"]
    command = ["heads", "relations", "relations/binding@200", str(documents), *out]
    CliRunner().invoke(app, command, catch_exceptions=False)
    return path


def test_scores_of_another_model_are_refused_unless_asked_for(
    documents, other_scores, tmp_path
) -> None:
    out = ["--relations", str(documents), "--head", "L1H1", "--out", str(tmp_path / "found"),
           "--same-documents"]  # fmt: skip
    with pytest.raises(Mismatch, match="score the heads of this model"):
        run("relations/binding", str(other_scores), *out, *QUICK)
    run("relations/binding", str(other_scores), *out, *QUICK, "--other-checkpoint")
    found = AblationResult.load(tmp_path / "found")
    assert any("another checkpoint" in said for said in found.statements)
    assert "--other-checkpoint" in found.provenance.command
    assert "--draws 2" in found.provenance.command


def test_a_corpus_is_cut_to_a_length_and_refused_where_too_little_is_left(
    documents, tmp_path
) -> None:
    out = ["--relations", str(documents), "--head", "L1H1", "--out", str(tmp_path / "found")]
    with pytest.raises(BadInput, match="at least 50% was asked.*min-coverage|none of the"):
        run("relations/binding", *out, *QUICK, "--length", "12")
