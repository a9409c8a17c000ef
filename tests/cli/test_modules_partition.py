"""`interp modules partition` and `routing`: tables with their nulls, JSON, files, bad input."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from interp.capture import record
from interp.cli import app
from interp.cli.modules.partition import partition_text
from interp.corpus.sources import open_corpus
from interp.models.load import load
from interp.modules.partition import Partition
from interp.modules.perturbation.items import FunctionItem, write_function_items
from interp.modules.routing.report import RoutingReport
from interp.results.provenance import Provenance

Run = Callable[..., tuple[int, str, str]]
SITE = "blocks.1.mlp.hook_post"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(words)`: exit code, standard output and standard error of `interp modules words`."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp", "modules", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def place(model_directory, tmp_path_factory) -> Path:
    """A text, and a store of it from the tiny llama."""
    root = tmp_path_factory.mktemp("partition")
    lines = [" ".join(f"w{4 + (i * 7 + j * j) % 60}" for j in range(10)) for i in range(40)]
    (root / "text.txt").write_text("\n".join(lines))
    model = model_directory("llama")
    corpus = open_corpus(root / "text.txt", model, length=10, packing="document")
    record(load(model, device="cpu"), corpus, [SITE], root / "store", max_tokens=400)
    rng = np.random.default_rng(0)
    items = [
        FunctionItem(
            id=str(i),
            function="any",
            split="test" if i % 2 else "validation",
            tokens=tuple(rng.integers(4, 60, size=8).tolist()),
            answer_start=4,
            answer_end=8,
            has_answer=True,
        )
        for i in range(12)
    ]
    write_function_items(root / "items.jsonl", items)
    return root


def test_weights_say_objective_and_agreement_beside_random(run, model_directory, tmp_path):
    words = ("partition", model_directory("llama"), "--site", SITE, "--n-experts", 6)
    code, out, _ = run(*words, "--out", tmp_path / "p", "--restarts", 2)
    assert code == 0
    assert "48 neurons in 6 experts of 8" in out
    assert "random partitions" in out
    assert "seed-to-seed ARI" in out
    assert Partition.load(tmp_path / "p").kind == "weights"


@pytest.mark.parametrize("source", ["store", "text"])
def test_activations_give_modularity_with_its_nulls(run, place, model_directory, tmp_path, source):
    given = place / ("store" if source == "store" else "text.txt")
    words = ("partition", model_directory("llama"), "--site", SITE, "--by", "louvain")
    more = (f"--{source}", given, "--length", 10, "--restarts", 2, "--shuffles", 2, "--json")
    code, out, _ = run(*words, *more, "--active", "relmax:2", "--out", tmp_path / "p")
    assert code == 0
    quality = json.loads(out)["quality"]
    assert quality["shuffled"]["n"] == 2
    assert quality["n_rows"] > 100


def test_routing_prints_every_router_beside_random_experts(run, place, model_directory, tmp_path):
    model = model_directory("llama")
    run("partition", model, "--site", SITE, "--by", "random", "--n-experts", 6,
        "--out", tmp_path / "p")  # fmt: skip
    code, out, err = run(
        *("routing", model, tmp_path / "p", "--items", place / "items.jsonl", "--k", 2),
        *("--router", "oracle", "--router", "chance", "--draws", 2, "--out", tmp_path / "r"),
        *("--figures", tmp_path / "drawn"),
    )
    assert code == 0, err
    assert "oracle on random experts" in out
    assert "a random choice holds k/E" in out
    assert "change of accuracy" in out
    assert RoutingReport.load(tmp_path / "r").n_random == 2
    assert (tmp_path / "drawn" / "routers.html").is_file()
    words = ("routing", model, tmp_path / "p", "--text", place / "text.txt", "--length", 10)
    code, out, _ = run(
        *words, "--router", "oracle", "--draws", 0, "--out", tmp_path / "t", "--json"
    )
    assert code == 0
    assert json.loads(out)["dense_accuracy"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--n-experts", 7), "48 neurons cannot be dealt to 7 experts"),
        (("--by", "magic"), "--by"),
        (("--by", "coactivation", "--n-experts", 6), "give --store or --text"),
        (("--n-experts", 6, "--site", "blocks.1.hook_resid_post"), "does not hold the neurons"),
    ],
)
def test_bad_input_is_one_line(run, model_directory, tmp_path, words, said):
    given = () if "--site" in words else ("--site", SITE)
    code, _, err = run(
        "partition", model_directory("llama"), *given, *words, "--out", tmp_path / "p"
    )
    assert code == 2
    assert said in err
    assert not (tmp_path / "p").exists()


def test_neurons_without_an_edge_are_said_to_be_what_the_method_made_of_them():
    labels = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    dead = np.array([False] * 4 + [True] * 2)
    nothing = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})

    def said(kind: str, dead: np.ndarray) -> str:
        return partition_text(Partition.of(
            labels, site=SITE, kind=kind, model_hash=None, provenance=nothing, dead=dead
        ))  # fmt: skip

    assert "2 dead, dealt at the end" in said("weights", dead)
    assert "2 without an edge, a community of their own" in said("louvain", dead)
    assert "dead" not in said("louvain", dead)
    assert "every neuron has an edge" in said("leiden", np.zeros(6, bool))


def test_a_store_of_another_model_is_refused(run, place, model_directory, tmp_path):
    words = ("partition", model_directory("gpt2"), "--site", SITE, "--n-experts", 6)
    code, _, err = run(*words, "--store", place / "store", "--out", tmp_path / "p")
    assert code == 2
    assert "captured from model" in err
