"""`interp heads ablate`, as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.heads.ablation import AblationResult
from interp.results.errors import BadInput, Unsupported
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
