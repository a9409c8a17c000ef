"""`interp modules layers` from the command line: table, JSON, files and errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.modules.layers import LayerAnalysis

RUNNER = CliRunner()


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.npy"
    np.save(path, np.random.default_rng(0).integers(4, 64, (24, 12)))
    return path


def asked(model: Path, ids: Path, out: Path, *more: str) -> list[str]:
    sizes = ["--sequences", "16", "--evaluated", "8", "--minibatch", "8", "--draws", "3"]
    start = ["modules", "layers", str(model), "--text", str(ids), "--out", str(out)]
    return [*start, "--length", "12", "--device", "cpu", *sizes, *more]


def test_a_person_sees_the_table_the_nulls_and_the_shortened_model(model_directory, ids, tmp_path):
    model, short = model_directory("gpt2"), tmp_path / "short"
    more = ["--clusters", "2", "--shortened", str(short), "--to", str(model), "--points", "3"]
    more += ["--figures", str(tmp_path / "drawn")]
    result = RUNNER.invoke(app, asked(model, ids, tmp_path / "out", *more))
    assert result.exit_code == 0, result.output
    for piece in ("CKA with next", "by chance", "independent layers", "random layers", "barrier"):
        assert piece in result.output
    found = LayerAnalysis.load(tmp_path / "out")
    assert found.shortened is not None
    drawn = {page.stem for page in (tmp_path / "drawn").glob("*.html")}
    assert drawn == {"similarity", "removal", "line"}
    said = json.loads((short / "interp.json").read_text())
    assert said["layers"] == found.shortened.sources.tolist()
    assert json.loads((short / "config.json").read_text())["n_layer"] == 3


def test_where_every_layer_is_kept_nothing_is_compared(model_directory, ids, tmp_path):
    asking = asked(model_directory("gpt2"), ids, tmp_path / "out", "--clusters", "3")
    result = RUNNER.invoke(app, asking)
    assert result.exit_code == 0, result.output
    assert "nothing to shorten" in result.output and "losing no more" not in result.output
    assert "3 clusters (* centre)\n" in result.output


def test_json_is_one_object_and_the_seed_gives_it_again(model_directory, ids, tmp_path):
    runs = [
        RUNNER.invoke(
            app, asked(model_directory("gpt2"), ids, tmp_path / name, "--json", "--biased")
        )
        for name in ("one", "two")
    ]
    one, two = (json.loads(run.stdout) for run in runs)
    assert one["estimator"] == "biased"
    assert one["floor"] == pytest.approx(32 / (32 + 8))
    del one["path"], two["path"], one["provenance"]["command"], two["provenance"]["command"]
    assert one == two


def test_what_cannot_be_is_one_line(model_directory, ids, tmp_path):
    from interp.results.errors import BadInput

    out = tmp_path / "out"
    result = RUNNER.invoke(app, asked(model_directory("gpt2"), ids, out, "--clusters", "9"))
    assert isinstance(result.exception, BadInput)
    assert str(result.exception) == "9 clusters of 3 layers: expected 1 to 3"
    assert not out.exists()
