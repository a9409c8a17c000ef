import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.modules.native.routing import NativeRouting
from interp.plots import native_moe
from interp.results.errors import BadInput, Unsupported


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Documents of two topics, each with words of its own."""
    path = tmp_path / "topics.jsonl"
    lines = [
        {
            "text": " ".join(f"w{4 + 20 * (i % 2) + (i + j) % 7}" for j in range(12)),
            "topic": "<b>law</b>" if i % 2 else "art",
        }
        for i in range(20)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def run(*arguments: str):
    return CliRunner().invoke(app, ["modules", "native", *arguments])


def test_the_command_prints_a_table_a_kind_and_writes_a_finding(
    model_directory, text: Path, tmp_path: Path
):
    out = tmp_path / "routing"
    said = run(
        *(str(model_directory("olmoe")), "--text", str(text), "--label", "topic"),
        *("--capacity-factor", "0.5", "--devices", "2", "--length", "16"),
        *("--permutations", "99", "--out", str(out), "--figures", str(tmp_path / "drawn")),
    )
    assert said.exit_code == 0, said.output
    assert "capacity.html" in {page.name for page in (tmp_path / "drawn").iterdir()}
    for title in ("router load", "pairs", "functions", "capacity", "blocks.2.mlp"):
        assert title in said.output
    assert "factor 0.5" in said.output
    found = NativeRouting.load(out)
    assert found.provenance.seed == 0
    assert found.functions is not None
    assert set(found.functions.functions) == {"art", "<b>law</b>"}
    drawn = native_moe.function_figure(found, "blocks.0.mlp").to_json()
    assert drawn is not None
    assert "&lt;b&gt;" in drawn.encode().decode("unicode_escape")
    assert "<b>" not in drawn.encode().decode("unicode_escape")
    assert found.provenance.model_hash
    again = run(*(str(model_directory("olmoe")), "--text", str(text), "--out", str(out)))
    assert isinstance(again.exception, BadInput)


def test_json_holds_the_same_numbers(model_directory, text: Path, tmp_path: Path):
    out = tmp_path / "routing"
    said = run(
        *(str(model_directory("switch")), "--text", str(text), "--label", "topic"),
        *("--length", "16", "--permutations", "9", "--json", "--out", str(out)),
    )
    assert said.exit_code == 0, said.output
    printed = json.loads(said.stdout.strip().splitlines()[-1])
    found = NativeRouting.load(out)
    assert printed["router_load"]["cv"] == found.router_load.cv.tolist()
    assert printed["own_capacity"] == 64
    assert found.capacity is not None
    assert printed["capacity"]["counts"] == found.capacity.counts.tolist()


def test_a_dense_model_is_refused_before_any_text_is_read(
    model_directory, text: Path, tmp_path: Path
):
    said = run(
        *(str(model_directory("gpt2")), "--text", str(text), "--out", str(tmp_path / "routing"))
    )
    assert isinstance(said.exception, Unsupported)
    assert not (tmp_path / "routing").exists()
