"""--figures: a finding drawn into pages of their own, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.cli.neurons.sparsity import sparsity
from interp.neurons.specialization import Specialization
from interp.results.errors import BadInput
from tests.models import tiny_model_directory
from tests.neurons.stores import planted_store


def test_scores_are_drawn_by_site_and_function_with_what_made_them(tmp_path: Path) -> None:
    planted_store(tmp_path / "store")
    words = ["neurons", "score", str(tmp_path / "store"), "--site", "blocks.*", "--label", "answer"]
    words += ["--label", "language", "--permutations", "10"]
    out, figures = str(tmp_path / "scores"), tmp_path / "figures"
    made = CliRunner().invoke(
        app, [*words, "--out", out, "--figures", str(figures)], catch_exceptions=False
    )
    assert made.exit_code == 0
    names = {page.stem for page in figures.glob("*.html")}
    assert names == {"overlap", "by_site_0", "by_site_1"} | {f"distribution_{i}" for i in range(4)}
    for page in figures.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "interp neurons score" in text and "<script src=" not in text
    again = [*words, "--out", out, "--overwrite", "--figures", out]
    with pytest.raises(BadInput, match="holds --out"):
        CliRunner().invoke(app, again, catch_exceptions=False)
    Specialization.load(Path(out))


def test_sparsity_is_drawn_layer_by_layer(tmp_path: Path) -> None:
    model = tiny_model_directory("gpt2", tmp_path / "relu", activation_function="relu", n_layer=1)
    words = np.random.default_rng(0).integers(4, 64, (30, 8))
    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(f"w{w}" for w in line) for line in words), encoding="utf-8")
    figures = tmp_path / "figures"
    sparsity(str(model), tmp_path / "out", text=str(text), length=8, figures=figures)
    assert {page.stem for page in figures.glob("*.html")} == {"by_layer", "norm_shares", "rates_0"}
    with pytest.raises(BadInput, match="figures exists"):
        sparsity(str(model), tmp_path / "other", text=str(text), length=8, figures=figures)
    assert not (tmp_path / "other").exists()
