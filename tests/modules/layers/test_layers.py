"""Fewer layers through the bridge, against plain transformers and models made by hand."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from interp.capture.run import record
from interp.corpus.corpus import Corpus
from interp.models.load import load
from interp.modules.layers import LayerAnalysis
from interp.modules.layers.blocks import running_blocks
from interp.modules.layers.reading import pooled
from interp.modules.layers.run import analyse_layers
from interp.modules.layers.stored import cka_of_store
from interp.modules.layers.writing import write_shortened
from interp.plots.layers import line_plot, removal_plot, similarity_map
from interp.results.errors import BadInput, CorruptFile, Mismatch, Unsupported
from tests.models import tiny_model_directory

STYLES = ("gpt2", "llama", "neox", "qwen3", "olmo2")


def text(n: int = 24, length: int = 12, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, 64, (n, length))


def small(model: Any, **asked: Any) -> LayerAnalysis:
    settings = {"n_sequences": 16, "n_evaluated": 8, "minibatch": 8, "draws": 3, "batch_size": 5}
    return analyse_layers(model, Corpus.from_tokens(text()), **{**settings, **asked})


def logits(directory: Path, sources: list[int], tokens: torch.Tensor) -> torch.Tensor:
    model: Any = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    body = model.base_model
    name = "h" if hasattr(body, "h") else "layers"
    blocks = getattr(body, name)
    setattr(body, name, torch.nn.ModuleList([deepcopy(blocks[source]) for source in sources]))
    model.config.num_hidden_layers = len(sources)
    if (kinds := getattr(model.config, "layer_types", None)) is not None:
        model.config.layer_types = [kinds[source] for source in sources]
    with torch.no_grad():
        return model(tokens, use_cache=False).logits


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("sources", [[0, 2], [0, 0, 2], [2, 1, 0], [1]])
def test_running_other_blocks_equals_plain_transformers_with_copies_of_them(
    style, sources, model_directory
):
    directory = model_directory(style)
    tokens = torch.from_numpy(text(2, 9))
    bridge = load(directory, device="cpu")
    with torch.no_grad():
        whole = bridge(tokens, return_type="logits", use_cache=False)
        with running_blocks(bridge, sources):
            found = bridge(tokens, return_type="logits", use_cache=False)
        again = bridge(tokens, return_type="logits", use_cache=False)
    torch.testing.assert_close(found, logits(directory, sources, tokens), rtol=0, atol=1e-5)
    assert torch.equal(whole, again)


@pytest.mark.parametrize("style", STYLES)
def test_the_written_model_opens_in_transformers_and_gives_what_the_bridge_gave(
    style, model_directory, tmp_path
):
    directory, sources = model_directory(style), [0, 2, 2]
    write_shortened(directory, sources, tmp_path / "short")
    tokens = torch.from_numpy(text(2, 9))
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "short").eval()
    bridge = load(directory, device="cpu")
    with torch.no_grad(), running_blocks(bridge, sources):
        expected = bridge(tokens, return_type="logits", use_cache=False)
    with torch.no_grad():
        torch.testing.assert_close(written(tokens).logits, expected, rtol=0, atol=1e-5)
    write_shortened(directory, [1], tmp_path / "short", overwrite=True)
    assert load(tmp_path / "short", device="cpu").cfg.n_layers == 1


def test_a_block_with_local_attention_keeps_it_in_another_slot(tmp_path):
    kinds = ["sliding_attention", "full_attention", "full_attention"]
    directory = tiny_model_directory(
        "qwen3", tmp_path / "mixed", layer_types=kinds, sliding_window=3, use_sliding_window=True
    )
    tokens, bridge = torch.from_numpy(text(2, 12)), load(directory, device="cpu")
    with torch.no_grad(), running_blocks(bridge, [1, 0, 2]):
        found = bridge(tokens, return_type="logits", use_cache=False)
    torch.testing.assert_close(found, logits(directory, [1, 0, 2], tokens), rtol=0, atol=1e-5)
    write_shortened(directory, [1, 0, 2], tmp_path / "short")
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "short").eval()
    with torch.no_grad():
        torch.testing.assert_close(written(tokens).logits, found, rtol=0, atol=1e-5)


def silenced_directory(path: Path, layer: int) -> Path:
    """A tiny Llama one of whose blocks adds nothing."""
    directory = tiny_model_directory("llama", path)
    model: Any = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        model.model.layers[layer].self_attn.o_proj.weight.zero_()
        model.model.layers[layer].mlp.down_proj.weight.zero_()
    model.save_pretrained(directory)
    return directory


def test_a_layer_that_adds_nothing_costs_nothing_and_joins_the_layer_before(tmp_path):
    directory = silenced_directory(tmp_path / "model", 1)
    found = small(directory, n_clusters=2, swaps=True)
    removal = found.removal
    assert removal is not None
    assert removal.loss_increase[1] == pytest.approx(0.0, abs=1e-9)
    assert removal.final_cka[1] == pytest.approx(1.0, abs=1e-6)
    assert abs(removal.loss_increase[[0, 2]]).min() > 1e-6
    assert found.cka[0, 1] == pytest.approx(1.0, abs=1e-6)
    assert found.clusters.tolist() == [0, 0, 1]
    assert np.diag(removal.replaced_loss_increase) == pytest.approx(0.0, abs=1e-9)
    assert removal.replaced_loss_increase[0, 1] == pytest.approx(removal.loss_increase[0])


def test_as_many_clusters_as_layers_is_the_whole_model(model_directory):
    found = small(model_directory("gpt2"), n_clusters=3)
    assert found.shortened is not None
    assert found.shortened.sources.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.shortened.shared, 0.0, atol=1e-9)
    np.testing.assert_allclose(found.shortened.random, 0.0, atol=1e-9)
    assert found.shortened.p == 1.0


def test_the_line_ends_at_the_losses_of_both_models_and_to_itself_has_no_barrier(
    model_directory, tmp_path
):
    here, there = model_directory("gpt2"), tmp_path / "other"
    model: Any = AutoModelForCausalLM.from_pretrained(here)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter * 1.5)
    model.save_pretrained(there)
    bridge = load(here, device="cpu")
    before = {name: value.clone() for name, value in bridge.original_model.named_parameters()}
    found = small(bridge, to=there, points=5, remove=False).line
    assert found is not None
    assert found.loss[0] == pytest.approx(small(here, remove=False).loss)
    assert found.loss[-1] == pytest.approx(small(there, remove=False).loss, abs=1e-6)
    assert found.barrier[0] >= 0
    after = dict(bridge.original_model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    same = small(here, to=here, points=4, remove=False).line
    assert same is not None
    assert same.barrier.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)


def test_a_line_to_another_shape_is_refused_by_the_tensor(model_directory):
    with pytest.raises(Mismatch, match="do not have the same tensors"):
        small(model_directory("gpt2"), to=model_directory("llama"))


def test_too_little_text_and_models_that_are_no_decoders_are_refused(model_directory):
    with pytest.raises(BadInput, match="holds 6 sequences of 12 tokens"):
        analyse_layers(model_directory("gpt2"), Corpus.from_tokens(text(6)))
    with pytest.raises(Unsupported, match="not a decoder"):
        small(model_directory("bert"))


@pytest.mark.slow
def test_two_ranks_give_the_numbers_of_one_process(model_directory, tmp_path):
    ids, model, found = tmp_path / "ids.npy", model_directory("gpt2"), {}
    np.save(ids, text())
    sizes = ["--sequences", "16", "--evaluated", "8", "--minibatch", "8", "--draws", "2"]
    for n in (1, 2):
        out = tmp_path / str(n)
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
        command = ["-m", "interp.cli.app", "modules", "layers", str(model), "--text", str(ids)]
        rest = ["--out", str(out), "--length", "12", "--device", "cpu", "--to", str(model)]
        subprocess.run(
            [sys.executable, *launch, *command, *rest, "--points", "3", *sizes],
            check=True,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        found[n] = LayerAnalysis.load(out).to_json()
        del found[n]["provenance"]
    assert found[1] == found[2]


def test_similarity_from_a_store_is_that_of_the_model_run(model_directory, tmp_path):
    bridge = load(model_directory("gpt2"), device="cpu")
    corpus = Corpus.from_tokens(text())
    store = record(
        bridge, corpus, ["blocks.*.hook_resid_post"], tmp_path / "store", max_tokens=16 * 12
    )
    live, stored = (small(bridge, store=of, remove=False) for of in (None, store))
    np.testing.assert_allclose(stored.cka, live.cka, atol=1e-5)
    np.testing.assert_allclose(stored.cka_null, live.cka_null, atol=1e-5)
    assert (stored.n_sequences, stored.minibatch, stored.d_model) == (16, 8, 32)
    biased = small(bridge, store=store, remove=False, pooling="last", estimator="biased")
    expected = small(bridge, remove=False, pooling="last", estimator="biased")
    np.testing.assert_allclose(biased.cka, expected.cka, atol=1e-5)
    with pytest.raises(Mismatch, match="captured from another model"):
        small(model_directory("llama"), store=store)
    with pytest.raises(BadInput, match="CKA needs sites of one width"):
        cka_of_store(store, sites="blocks.0.*")


def test_a_finding_comes_back_as_it_was(model_directory, tmp_path):
    found = small(model_directory("gpt2"), to=model_directory("gpt2"), points=3)
    again = LayerAnalysis.load(found.save(tmp_path / "found"))
    assert str(again) == str(found)
    assert again.to_json() == found.to_json()
    assert "independent layers" in found._repr_html_()
    bare = small(model_directory("gpt2"), remove=False)
    assert LayerAnalysis.load(bare.save(tmp_path / "bare")).removal is None


def test_a_finding_that_lacks_an_array_is_refused(model_directory, tmp_path):
    from interp.results.finding import load_finding, save_finding

    found = small(model_directory("gpt2"), remove=False).save(tmp_path / "found")
    header, arrays = load_finding(found, schema="interp.layers/1")
    del header["schema"], header["data_sha256"], arrays["cka"]
    save_finding(tmp_path / "cut", schema="interp.layers/1", header=header, arrays=arrays)
    with pytest.raises(CorruptFile, match="not a whole layer analysis"):
        LayerAnalysis.load(tmp_path / "cut")


def test_figures_draw_a_finding_and_one_without_its_parts(model_directory):
    found = small(model_directory("gpt2"), to=model_directory("gpt2"), points=3)
    bare = small(model_directory("gpt2"), remove=False)
    assert len(list(similarity_map(found).data)) == 1
    for drawn in (similarity_map(found), removal_plot(found), line_plot(found)):
        assert drawn.to_dict()["layout"]["meta"] == {"provenance": found.provenance.to_json()}
    assert len(list(removal_plot(found).data)) == 1
    assert len(list(line_plot(found).data)) == 1
    assert not removal_plot(bare).data
    assert not line_plot(bare).data


def test_pooling_reads_text_tokens_only():
    states = torch.tensor([[[9.0], [1.0], [3.0], [7.0]]])
    keep = torch.tensor([[False, True, True, False]])
    found = {
        kind: pooled(states, keep, kind).item() for kind in ("mean", "weighted", "max", "last")
    }
    assert found == pytest.approx({"mean": 2.0, "weighted": 11 / 5, "max": 3.0, "last": 3.0})
