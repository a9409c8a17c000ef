"""`interp dictionary evaluate` on a tiny model: the table, the JSON, what is written, bad input."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

from interp.capture import record
from interp.cli import app
from interp.corpus.sources import open_corpus
from interp.dictionaries.evaluation import DictionaryEvaluation
from interp.dictionaries.files import save_dictionary
from interp.models.load import load
from tests.dictionaries.making import drawn

SITE, OTHER = "blocks.1.hook_resid_post", "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def place(model_directory, tmp_path_factory) -> Path:
    """A text, a store of it, and two dictionaries that know their site."""
    root = tmp_path_factory.mktemp("evaluate")
    lines = [" ".join(f"w{4 + (i * 7 + j * j) % 60}" for j in range(10)) for i in range(30)]
    (root / "text.txt").write_text("\n".join(lines))
    model = model_directory("llama")
    corpus = open_corpus(root / "text.txt", model, length=10, packing="document")
    record(load(model, device="cpu"), corpus, [SITE], root / "store", max_tokens=1000)
    record(load(model, device="cpu"), corpus, [SITE, OTHER], root / "two", max_tokens=300)
    nameless = drawn(StandardSAE(StandardSAEConfig(d_in=32, d_sae=48)), 2)
    save_dictionary(nameless, root / "nameless")
    for seed in range(2):
        sae = drawn(StandardSAE(StandardSAEConfig(d_in=32, d_sae=48)), seed)
        sae.cfg.metadata.hook_name = SITE
        save_dictionary(sae, root / f"dictionary{seed}")
    return root


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words)`: exit code, standard output and standard error of the command."""

    def run(*words: object) -> tuple[int, str, str]:
        argv = ["interp", "dictionary", "evaluate", *map(str, words)]
        monkeypatch.setattr(sys, "argv", argv)
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_table_shows_the_dictionary_beside_its_baselines(
    place, model_directory, run: Run
) -> None:
    code, shown, _ = run(
        *(place / "dictionary0", "--store", place / "store", "--out", place / "table"),
        *("--model", model_directory("llama"), "--text", place / "text.txt"),
        *("--packing", "document", "--other", place / "dictionary1", "--tokens", 200),
    )
    assert code == 0
    for text in ("explained variance", "PCA of rank", "random dictionary", "neuron basis"):
        assert text in shown
    for text in ("CE, spliced", "randomised model", "have one in", "nothing was checked"):
        assert text in shown
    found = DictionaryEvaluation.load(place / "table")
    assert found.n_rows <= 200
    assert found.shared[0].other == str(place / "dictionary1")


def test_json_is_one_object_with_n_and_interval_in_every_cell(place, run: Run) -> None:
    words = (place / "dictionary0", "--store", place / "store", "--out", place / "json", "--json")
    code, shown, _ = run(*words, "--baselines", "pca")
    assert code == 0
    found = json.loads(shown)
    assert set(found["table"]) == {"dictionary", "pca"}
    cell = found["table"]["dictionary"]["explained_variance"]
    assert cell["n"] == found["n_rows"]
    assert cell["interval"][0] < cell["value"] < cell["interval"][1]


def test_a_dictionary_without_a_site_is_read_at_the_site_that_is_named(place, run: Run) -> None:
    words = (place / "nameless", "--store", place / "two", "--baselines", "none")
    code, _, error = run(*words, "--out", place / "which")
    assert code == 2
    assert "--site" in error
    assert run(*words, "--out", place / "named", "--site", OTHER)[0] == 0
    settings = DictionaryEvaluation.load(place / "named").provenance.settings
    assert settings["sites"] == [OTHER, OTHER]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baselines", "ica"], "no baseline 'ica'"),
        (["--text", "text.txt", "--packing", "tight"], "pack or document"),
        (["--model", "polyglot"], "--model needs --text"),
        (["--text", "text.txt"], "--text needs --model"),
        (["--site", "blocks.0.hook_mlp_out"], "pass --force"),
    ],
)
def test_bad_input_is_one_line_and_two(place, run: Run, words: list[str], message: str) -> None:
    out = place / "bad"
    code, _, error = run(place / "dictionary0", "--store", place / "store", "--out", out, *words)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
