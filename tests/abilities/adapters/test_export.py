"""An exported adapter, loaded by PEFT on the base, adds what its header says it adds."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from interp.abilities.adapters.adapter import LowRankAdapter
from interp.abilities.adapters.adapter_layout import adapter_layout, module_of
from interp.abilities.adapters.export import CONFIG, DATA, export
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.cli.app import app
from interp.models.identity import model_identity
from interp.models.weight_files import SINGLE
from interp.results.errors import BadInput, Mismatch, Unsupported
from interp.results.finding import HEADER
from interp.results.provenance import Provenance
from tests.models import tiny_model_directory

NOTHING = Provenance.collect("t", model_hash=None, corpus_hash=None, seed=0, settings={})
# PEFT calls names that transformers deprecates; nothing of ours is in these warnings.
PEFT = pytest.mark.filterwarnings("ignore")


def moved(directory, out, *, names, rank=None):
    """The model with a random change, of full or of given rank, in the tensors whose name fits."""
    tensors = load_file(directory / SINGLE)
    generator = torch.Generator().manual_seed(7)
    for name, tensor in tensors.items():
        if not names(name, tensor):
            continue
        step = torch.randn(tensor.shape, generator=generator) * 0.05
        if rank is not None and tensor.ndim == 2:
            parts = [torch.randn(n, rank, generator=generator) * 0.2 for n in tensor.shape]
            step = parts[0] @ parts[1].mT
        tensors[name] = tensor + step
    out.mkdir()
    for file in directory.iterdir():
        if file.suffix == ".json":
            (out / file.name).write_bytes(file.read_bytes())
    save_file(tensors, out / SINGLE, {"format": "pt"})
    return out


def matrices(name, tensor):
    return tensor.ndim == 2 and not any(word in name for word in ("wte", "wpe", "embed"))


def everything(name, tensor):
    return True


def weights_of(tmp_path, style, *, names=matrices, rank=None, **config):
    base = tiny_model_directory(style, tmp_path / "base", **config)
    ability = moved(base, tmp_path / "ability", names=names, rank=rank)
    tensors = load_file(base / SINGLE)
    mask = NeuronMask.from_dense(
        {n: np.ones(tuple(t.shape), bool) for n, t in tensors.items() if names(n, t)},
        level="entry",
        recipe={},
        base=model_identity(base),
        provenance=NOTHING,
    )
    return base, extract(base, ability, tmp_path / "w", mask=mask)


def loaded(base, adapter):
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return dict(merged.named_parameters())


def relative_error(base, weights, merged):
    """|delta - what PEFT added| / |delta|, over all tensors, from the models themselves."""
    before = load_file(base / SINGLE)
    missed = whole = 0.0
    for name in weights.tensors:
        delta = torch.from_numpy(weights.dense(name)).double()
        missed += float((merged[name].double() - before[name].double() - delta).square().sum())
        whole += float(delta.square().sum())
    return (missed / whole) ** 0.5


@PEFT
@pytest.mark.parametrize("style", ["llama", "gpt2", "neox", "qwen2"])
def test_peft_merges_an_adapter_of_full_rank_to_base_plus_weights(tmp_path, style):
    base, weights = weights_of(tmp_path, style)
    made = export(weights, tmp_path / "adapter", rank=48)
    assert made.error < 1e-5
    assert made.warning is None
    merged = loaded(base, tmp_path / "adapter")
    before = load_file(base / SINGLE)
    for name, parameter in merged.items():
        # In a GPT-NeoX file the head has its older name.
        expected = before[name if name in before else "embed_out.weight"]
        if name in weights.tensors:
            expected = expected + torch.from_numpy(weights.dense(name))
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-5)


@PEFT
@pytest.mark.parametrize("style", ["llama", "gpt2"])
@pytest.mark.parametrize("rank", [1, 5])
def test_the_stated_error_is_the_one_that_is_measured(tmp_path, style, rank):
    base, weights = weights_of(tmp_path, style)
    made = export(weights, tmp_path / "adapter", rank=rank)
    merged = loaded(base, tmp_path / "adapter")
    assert made.error == pytest.approx(relative_error(base, weights, merged), abs=1e-5)
    assert 0.3 < made.error < made.flat_error < 1
    assert made.warning is not None
    arrays = load_file(tmp_path / "adapter" / DATA)
    name = next(iter(made.tensors))
    tall, wide = (arrays[f"base_model.model.{module_of(name)}.lora_{kind}.weight"] for kind in "BA")
    delta = torch.from_numpy(weights.dense(name))
    delta = delta.mT if style == "gpt2" else delta
    measured = torch.linalg.norm(delta - tall @ wide) / torch.linalg.norm(delta)
    assert made.tensors[name].error == pytest.approx(float(measured), abs=1e-5)


def test_a_change_of_low_rank_is_found_by_that_rank(tmp_path):
    _, weights = weights_of(tmp_path, "llama", rank=3)
    assert export(weights, tmp_path / "three", rank=3).error < 1e-5
    assert export(weights, tmp_path / "two", rank=2).error > 0.1


@PEFT
@pytest.mark.parametrize("style", ["llama", "gpt2", "qwen2"])
def test_norms_biases_and_untied_embeddings_are_held_whole_on_request(tmp_path, style):
    base, weights = weights_of(tmp_path, style, names=everything, tie_word_embeddings=False)
    with pytest.raises(Unsupported, match=r"--modules-to-save.*--leave-out"):
        export(weights, tmp_path / "adapter", rank=48)
    with pytest.raises(BadInput, match="--base"):
        export(weights, tmp_path / "adapter", rank=48, modules_to_save=True)
    with pytest.raises(Mismatch, match="give that base"):
        ability = tmp_path / "ability"
        export(weights, tmp_path / "adapter", rank=48, modules_to_save=True, base=ability)
    assert not (tmp_path / "adapter").exists()
    made = export(weights, tmp_path / "adapter", rank=64, modules_to_save=True, base=base)
    assert made.error < 1e-5
    assert set(made.saved) | set(made.tensors) == set(weights.tensors)
    merged = loaded(base, tmp_path / "adapter")
    assert relative_error(base, weights, merged) < 1e-5


def test_what_is_left_out_is_listed_and_counts_in_the_error(tmp_path):
    _, weights = weights_of(tmp_path, "gpt2", names=everything)
    with pytest.raises(Unsupported, match="in no way"):
        export(weights, tmp_path / "adapter", rank=48)
    made = export(weights, tmp_path / "adapter", rank=48, leave_out=True)
    assert "transformer.wte.weight" in made.left_out
    assert "transformer.ln_f.bias" in made.left_out
    squares = {name: float((weights.dense(name) ** 2).sum()) for name in weights.tensors}
    share = sum(squares[name] for name in made.left_out) / sum(squares.values())
    assert made.error == pytest.approx(share**0.5, rel=1e-4)


def test_the_header_read_back_is_the_one_written(tmp_path):
    _, weights = weights_of(tmp_path, "llama")
    made = export(weights, tmp_path / "adapter", rank=4)
    assert LowRankAdapter.load(tmp_path / "adapter") == made
    first = {f.name: f.read_bytes() for f in (tmp_path / "adapter").iterdir()}
    export(tmp_path / "w", tmp_path / "adapter", rank=4, overwrite=True)
    assert first == {f.name: f.read_bytes() for f in (tmp_path / "adapter").iterdir()}
    assert first.keys() == {HEADER, DATA, CONFIG}


def test_a_rank_below_one_is_refused(tmp_path):
    _, weights = weights_of(tmp_path, "llama")
    with pytest.raises(BadInput, match="rank is 0"):
        export(weights, tmp_path / "adapter", rank=0)


def test_tensors_that_no_module_holds_under_their_name_are_told_apart():
    shapes = {
        "model.layers.0.mlp.experts.0.w1.weight": (8, 4),
        "model.layers.0.mlp.gate.weight": (4, 4),
        "model.layers.0.mlp.gate_proj.weight": (8, 4),
        "model.layers.0.input_layernorm.weight": (4,),
        "h.0.attn.c_attn.weight": (4, 12),
        "embed_tokens.weight": (9, 4),
        "lm_head.weight": (9, 4),
    }
    layout = adapter_layout(shapes, tied=[("lm_head.weight", "embed_tokens.weight")])
    assert layout.low_rank == ("h.0.attn.c_attn.weight", "model.layers.0.mlp.gate_proj.weight")
    assert layout.transposed == {"h.0.attn.c_attn.weight"}
    assert layout.whole == ("model.layers.0.input_layernorm.weight",)
    assert len(layout.never) == 4
    assert adapter_layout({"embed_out.weight": (9, 4)}, tied=[]).never == ("embed_out.weight",)
    assert module_of("h.0.attn.c_attn.weight") == "transformer.h.0.attn.c_attn"
    assert module_of("layers.0.attention.dense.weight") == "gpt_neox.layers.0.attention.dense"
    assert module_of("layers.0.mlp.up_proj.weight") == "model.layers.0.mlp.up_proj"


def test_the_command_prints_the_error_and_warns_of_a_large_one(tmp_path):
    weights_of(tmp_path, "llama")
    words = ["ability", "export", str(tmp_path / "w"), "--out", str(tmp_path / "a"), "--rank", "2"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "error 0." in result.stdout
    assert "warning: rank 2 misses" in result.stderr
    again = CliRunner().invoke(app, [*words, "--overwrite", "--json"], catch_exceptions=False)
    assert json.loads(again.stdout)["rank"] == 2
