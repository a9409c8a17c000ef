"""Sparsity of a model and of its store: the same numbers, baselines, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from interp.capture import ActivationStore, record
from interp.capture.plan import plan_capture
from interp.capture.run import execute
from interp.corpus.corpus import Corpus
from interp.models.load import load
from interp.neurons.sparsity import ActivityRule, SparsityStats, model_sparsity, store_sparsity
from interp.neurons.sparsity.sources import ModelRows, StoreRows, sample_rows
from interp.results.errors import BadInput, CorruptFile, Mismatch
from tests.capture.conftest import make_corpus
from tests.models import tiny_model_directory

SITES = ["blocks.*.mlp.hook_post"]


@pytest.fixture(scope="module")
def relu_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("relu") / "model"
    return tiny_model_directory("gpt2", directory, activation_function="relu")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus(24)


@pytest.fixture(scope="module")
def store(
    relu_directory: Path, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    path = tmp_path_factory.mktemp("store") / "store"
    return record(load(relu_directory, device="cpu"), corpus, SITES, path, max_tokens=10_000)


def test_a_store_and_its_model_give_the_same_sparsity(
    store: ActivationStore, relu_directory: Path, corpus: Corpus
) -> None:
    stored = store_sparsity(store, model=relu_directory)
    live = model_sparsity(load(relu_directory, device="cpu"), corpus, random_weights=False)
    assert str(stored.rule) == str(live.rule) == "relu"
    assert stored.sites == live.sites
    for name in ("value", "low", "high", "n"):
        np.testing.assert_allclose(getattr(stored, name), getattr(live, name), rtol=1e-5)
    assert stored.provenance.model_hash == live.provenance.model_hash


def test_rates_are_those_of_the_stores_own_rows(store: ActivationStore) -> None:
    found = store_sparsity(store)
    text = ~store.column("is_special", 0, store.n_rows)
    for layer in found.layers:
        h = store.rows(layer.site, 0, store.n_rows)[text]
        np.testing.assert_allclose(layer.rate, (h > 0).mean(axis=0))
        np.testing.assert_allclose(layer.sd, h.std(axis=0), atol=1e-5)
        assert layer.histogram.sum() == found.n_tokens == text.sum()


def test_a_baseline_is_called_what_it_is_and_measured_as_a_store_of_its_own(
    store: ActivationStore, corpus: Corpus, tmp_path: Path
) -> None:
    directory = tiny_model_directory("gpt2", tmp_path / "model", activation_function="relu", seed=3)
    other = load(directory, device="cpu")
    trained = record(other, corpus, SITES, tmp_path / "store", max_tokens=10_000)
    plan = plan_capture(other, corpus, SITES, max_tokens=10_000, random_weights=3)
    drawn = execute(plan, other, corpus, tmp_path / "drawn")
    for beside, name, mark in ((trained, str(trained.path), "b"), (drawn, "random weights 3", "r")):
        found = store_sparsity(store, baseline=beside)
        assert list(found.baselines) == ["gaussian", name]
        np.testing.assert_array_equal(
            found.baseline(name, "active"), store_sparsity(beside).column("active")[:, 0]
        )
        assert np.isnan(found.baseline(name, "needed_0.9")).all()
        assert f"{mark} {name}" in str(found)
    with pytest.raises(Mismatch, match="same weights"):
        store_sparsity(store, baseline=store)


def test_sampled_rows_are_evenly_spaced_rows_of_the_source(
    store: ActivationStore, relu_directory: Path, corpus: Corpus
) -> None:
    stored = StoreRows.of(store, [], max_tokens=10_000)
    live = ModelRows.of(load(relu_directory, device="cpu"), corpus, [], max_tokens=10_000)
    assert stored.count() == live.count() == sum(len(rows.sequence) for rows in live.batches())
    site = stored.sites[0]
    every = np.concatenate([rows.at[site].numpy() for rows in stored.batches()])
    step = stored.count() // 20
    for source in (stored, live):
        found = sample_rows(source, n_rows=20)[site].numpy()
        np.testing.assert_allclose(found, every[::step][:20], atol=1e-6)


def test_a_finding_comes_back_as_it_was_saved(store: ActivationStore, tmp_path: Path) -> None:
    found = store_sparsity(store)
    found.save(tmp_path / "found")
    back = SparsityStats.load(tmp_path / "found")
    assert str(back) == str(found) and back.to_json() == found.to_json()
    np.testing.assert_array_equal(back.layers[1].rate, found.layers[1].rate)
    assert "<script" not in back._repr_html_()
    (tmp_path / "found" / "data.safetensors").write_bytes(b"0")
    with pytest.raises(CorruptFile):
        SparsityStats.load(tmp_path / "found")


def test_under_cett_every_layer_loses_theta_and_no_more(relu_directory: Path) -> None:
    bridge = load(relu_directory, device="cpu")
    rule = ActivityRule.parse("cett:0.2")
    found = model_sparsity(bridge, make_corpus(24), rule=rule, perplexity_tokens=200)
    np.testing.assert_allclose(found.column("dropped")[:, 0], 0.2, atol=2e-3)
    assert all(layer.threshold is not None and layer.threshold > 0 for layer in found.layers)
    assert found.perplexity is not None and found.perplexity.loss_changed != found.perplexity.loss
    untrained = found.baseline("random weights", "dropped")
    np.testing.assert_allclose(untrained, 0.2, atol=2e-3)


@pytest.mark.slow
def test_dropping_nothing_leaves_perplexity_and_more_is_dropped_for_a_larger_rise(
    relu_directory: Path, corpus: Corpus
) -> None:
    bridge = load(relu_directory, device="cpu")
    nothing = model_sparsity(bridge, corpus, perplexity_tokens=300, random_weights=False)
    assert nothing.perplexity is not None
    assert nothing.perplexity.rise == (0.0, 0.0, 0.0)
    asked = {"perplexity_tokens": 300, "random_weights": False}
    small, large = (
        model_sparsity(bridge, corpus, perplexity_rise_of=rise, **asked) for rise in (1e-4, 3e-3)
    )
    assert small.rule.value is not None and large.rule.value is not None
    assert small.rule.value <= large.rule.value
    assert small.perplexity is not None and small.perplexity.rise.value <= 1e-4 + 1e-9


def test_what_cannot_be_measured_is_refused(
    store: ActivationStore, model_directory: Callable[[str], Path], corpus: Corpus, tmp_path: Path
) -> None:
    bridge = load(model_directory("gpt2"), device="cpu")
    with pytest.raises(BadInput, match="gelu_new and have no zero"):
        model_sparsity(bridge, corpus, rule=ActivityRule.parse("relu"))
    with pytest.raises(BadInput, match="needs the model's W_out"):
        store_sparsity(store, rule=ActivityRule.parse("cett:0.1"))
    gelu = record(bridge, corpus, SITES, tmp_path / "gelu", max_tokens=200)
    with pytest.raises(BadInput, match="never 0"):
        store_sparsity(gelu)
    with pytest.raises(Mismatch, match="another text"):
        other = record(bridge, make_corpus(seed=1), SITES, tmp_path / "other", max_tokens=200)
        store_sparsity(store, baseline=other)
    with pytest.raises(BadInput, match="no measure 'speed'"):
        store_sparsity(store).column("speed")


@pytest.mark.parametrize("style", ["llama", "t5", "bert", "neox"])
def test_every_style_of_model_has_a_sparsity(
    style: str, model_directory: Callable[[str], Path]
) -> None:
    bridge = load(model_directory(style), device="cpu")
    found = model_sparsity(bridge, make_corpus(4), random_weights=False)
    assert len(found.layers) == (2 if style == "t5" else 3)
    assert np.isfinite(found.column("active")).all()


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(store: ActivationStore, tmp_path: Path) -> None:
    command = ["neurons", "sparsity", str(store.path), "--json", "--rule", "abs:0.05", "--out"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    outputs = []
    for name, program in (("one", ["-m"]), ("two", [*torchrun, "-m"])):
        made = subprocess.run(
            [sys.executable, *program, "interp.cli.app", *command, str(tmp_path / name)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = json.loads(made.stdout.splitlines()[-1])
        outputs.append({key: value for key, value in found.items() if key != "path"})
    assert outputs[0] == outputs[1]
