"""`interp data` and `interp probe` as a user types them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interp.capture import record
from interp.cli import app
from interp.corpus.sources import open_corpus
from interp.models.load import load
from probes.linear import ProbeResult

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words)`: exit code, standard output and standard error of the command."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_list_names_every_data_set_with_its_kind_functions_and_lines(run: Run) -> None:
    code, out, _ = run("data", "list", "--json")
    listed = {one["name"]: one for one in json.loads(out)["data"]}
    assert code == 0
    assert {"semantic", "knowledge", "task", "tokens", "functions"} < listed.keys()
    assert listed["semantic"]["kind"] == "semantic"
    assert "bank" in listed["semantic"]["functions"]
    assert listed["semantic"]["lines"] == 18 * 2 * 200
    code, shown, _ = run("data", "list")
    assert code == 0
    assert all(name in shown for name in listed)


@pytest.mark.parametrize("name", ["task", "functions", "functions-items", "polyglot-labelled"])
def test_the_same_seed_writes_the_same_file_and_a_card_beside_it(
    name: str, run: Run, tmp_path: Path
) -> None:
    files = [tmp_path / f"{i}.jsonl" for i in range(2)]
    for file in files:
        code, out, _ = run("data", "make", name, "--out", file, "--n", 30, "--json")
        assert code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    card = json.loads(files[1].with_suffix(".json").read_text())
    lines = files[1].read_text().splitlines()
    assert card["lines"] == len(lines) == json.loads(out)["lines"]
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert card["provenance"]["settings"]["n"] == 30


def test_the_table_shows_what_leaks(run: Run, tmp_path: Path) -> None:
    code, shown, _ = run("data", "make", "task", "--out", tmp_path / "task.jsonl", "--n", 60)
    assert code == 0
    for word in ("sub-function", "acceptability", "leak, new items", "majority", "best word"):
        assert word in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing", "--out", "x.jsonl"), "no data set 'nothing': there are"),
        (("task", "--out", "x.txt"), "must end in .jsonl"),
        (("task", "--out", "x.jsonl", "--from", "y"), "task reads no file"),
        (("functions", "--out", "x.jsonl", "--from", "y"), "functions reads no file"),
        (("polyglot-items", "--out", "x.jsonl", "--n", 5), "always whole"),
        (("task", "--out", "x.jsonl", "--n", 1), "at least 3"),
        (("knowledge", "--out", "x.jsonl", "--from", "nowhere"), "no .json file"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(
    words: tuple[object, ...],
    message: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run("data", "make", *words)
    assert code == 2
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_replaced_unless_asked(run: Run, tmp_path: Path) -> None:
    words = ("data", "make", "task", "--out", tmp_path / "x.jsonl", "--n", 6)
    assert run(*words)[0] == 0
    code, _, error = run(*words)
    assert (code, "exists" in error) == (2, True)
    assert run(*words, "--overwrite")[0] == 0


@pytest.fixture(scope="module")
def store(model_directory, tmp_path_factory) -> Path:
    """Activations of a tiny model on lines whose label is whether a word of the text is even."""
    root = tmp_path_factory.mktemp("probed")
    lines = []
    for i in range(60):
        words = [4 + (i * 7 + j * j) % 60 for j in range(8)]
        text = " ".join(f"w{word}" for word in words)
        lines.append(json.dumps({"text": text, "label": words[0] % 2}))
    (root / "lines.jsonl").write_text("\n".join(lines))
    model = model_directory("llama")
    corpus = open_corpus(
        root / "lines.jsonl", model, length=10, packing="document", labels=["label"]
    )
    sites = ["blocks.*.hook_resid_post"]
    record(load(model, device="cpu"), corpus, sites, root / "store", max_tokens=1000)
    return root / "store"


def test_probe_fit_prints_a_line_a_site_beside_its_nulls_and_saves_them(
    run: Run, store: Path, tmp_path: Path
) -> None:
    words = ("probe", "fit", store, "--site", "blocks.*.hook_resid_post", "--label", "label")
    code, shown, error = run(*words, "--out", tmp_path / "probe", "--pool", "mean")
    assert (code, error.count("Traceback")) == (0, 0)
    for text in ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post", "without the site"):
        assert text in shown
    for text in ("selectivity", "control accuracy", "compression", "documents (mean"):
        assert text in shown
    found = ProbeResult.load(tmp_path / "probe")
    assert found.direction("blocks.1.hook_resid_post").shape == (32,)
    assert found.provenance.command.startswith("interp probe fit")


def test_probe_fit_prints_json_and_refuses_what_is_there(
    run: Run, store: Path, tmp_path: Path
) -> None:
    words = ("probe", "fit", store, "--site", "blocks.1.hook_resid_post", "--label", "label")
    code, out, _ = run(*words, "--out", tmp_path / "probe", "--no-control", "--json")
    content = json.loads(out)
    assert code == 0
    (site,) = content["by_site"]
    assert site["selectivity"] == [None, None, None]
    assert 0 <= content["majority"] <= 1
    code, _, error = run(*words, "--out", tmp_path / "probe")
    assert (code, "exists" in error) == (2, True)
    code, _, error = run(*words, "--out", tmp_path / "other", "--where", "label")
    assert (code, "COLUMN=VALUE" in error) == (2, True)
