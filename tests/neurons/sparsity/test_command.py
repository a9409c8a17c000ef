"""`interp neurons sparsity` prints every layer with its baselines, and refuses what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest

from interp.cli.neurons.sparsity import sparsity
from interp.neurons.sparsity import SparsityStats
from interp.results.errors import BadInput
from tests.models import tiny_model_directory


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "relu"
    return tiny_model_directory("gpt2", directory, activation_function="relu", n_layer=1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = np.random.default_rng(0).integers(4, 64, (30, 8))
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(" ".join(f"w{w}" for w in line) for line in words), encoding="utf-8")
    return str(path)


def test_a_layer_is_printed_with_its_interval_and_baselines(
    model: Path, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    sparsity(str(model), out, text=text, length=8)
    shown = capsys.readouterr().out
    assert "blocks.0.mlp.hook_post" in shown and "g gaussian, r random weights" in shown
    sparsity(str(model), out, text=text, length=8, overwrite=True, json=True)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = SparsityStats.load(out)
    entry = printed["layers"]["blocks.0.mlp.hook_post"]["measures"]["active"]
    assert entry["value"] == found.cell("blocks.0.mlp.hook_post", "active").value
    assert set(entry["baselines"]) == {"gaussian", "random weights"}
    assert entry["n"] == found.n_tokens


def test_options_that_do_not_go_together_are_refused(
    model: Path, text: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="needs --text"):
        sparsity(str(model), out)
    with pytest.raises(BadInput, match="leave --rule out"):
        sparsity(str(model), out, text=text, rule="cett:0.1", perplexity_rise=0.01)
    with pytest.raises(BadInput, match="rule 'loud'"):
        sparsity(str(model), out, text=text, rule="loud")
    assert not out.exists()
