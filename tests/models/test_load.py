"""Loading: the same logits as transformers for every style, and a clear refusal of the rest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from interp.models.architectures import ARCHITECTURES, architecture_of
from interp.models.load import auto_class, load, reference_of, unedited
from interp.results.errors import BadInput, CorruptFile, Unsupported
from tests.models import DECODERS, STYLES, tiny_model, tiny_model_directory, write_tokenizer

Directory = Callable[[str], Path]
STORIES = Path("/work/shared/data/stories260K")


def tokens(batch: int = 2, pos: int = 12) -> torch.Tensor:
    return torch.randint(4, 64, (batch, pos), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def transformers_logits(directory: Path, ids: torch.Tensor) -> torch.Tensor:
    model = auto_class(architecture_of(directory)).from_pretrained(
        directory, attn_implementation="eager", dtype=torch.float32
    )
    inputs: dict[str, Any] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        start = torch.full_like(ids[:, :1], model.config.decoder_start_token_id)
        inputs["decoder_input_ids"] = torch.cat([start, ids[:, :-1]], dim=1)
    return model.eval()(**inputs).logits


def test_every_style_of_the_tests_is_one_that_we_load_and_the_other_way_round():
    assert {style[0].__name__ for style in STYLES.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_a_loaded_model_has_transformers_own_logits(model_directory: Directory, style: str):
    directory = model_directory(style)
    ours = load(str(directory))(tokens())
    theirs = transformers_logits(directory, tokens())
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("style", DECODERS)
@torch.no_grad()
def test_a_model_without_tokenizer_files_loads_and_has_none(tmp_path: Path, style: str):
    directory = tiny_model_directory(style, tmp_path / "model", tokenizer=False)
    bridge = load(str(directory))
    assert bridge.tokenizer is None
    assert bridge.cfg.d_vocab == 64
    torch.testing.assert_close(
        bridge(tokens()), transformers_logits(directory, tokens()), atol=1e-4, rtol=0
    )


def test_a_tokenizer_config_without_a_vocabulary_is_no_tokenizer(tmp_path: Path):
    directory = tiny_model_directory("gpt2", tmp_path / "model")
    (directory / "tokenizer.json").unlink()
    assert load(str(directory)).tokenizer is None


@torch.no_grad()
def test_a_model_object_is_loaded_as_it_is():
    theirs = tiny_model("llama")(tokens()).logits
    bridge = load(tiny_model("llama"))
    assert bridge.tokenizer is None
    assert reference_of(bridge) is None
    torch.testing.assert_close(bridge(tokens()), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox"])
def test_a_model_object_takes_a_tokenizer_made_in_memory(tmp_path: Path, style: str):
    write_tokenizer(tmp_path)
    on_disk = AutoTokenizer.from_pretrained(tmp_path)
    in_memory = PreTrainedTokenizerFast(
        tokenizer_object=on_disk.backend_tokenizer, bos_token="<bos>", eos_token="<eos>"
    )
    bridge = load(tiny_model(style), tokenizer=in_memory)
    assert bridge.to_tokens("w5 w9", prepend_bos=True).tolist() == [[1, 5, 9]]


def test_the_weights_are_read_in_the_dtype_asked_for(model_directory: Directory):
    for dtype in ("float32", "float16", "bf16"):
        bridge = load(str(model_directory("gpt2")), dtype=dtype)
        kinds = {p.dtype for p in bridge.original_model.parameters()}
        assert len(kinds) == 1
        assert str(bridge.cfg.dtype) == str(*kinds)


def test_rotary_frequencies_stay_exact_when_weights_are_rounded(model_directory: Directory):
    exact, rounded = (
        {n: b for n, b in load(str(path), dtype=dtype).original_model.named_buffers() if "inv" in n}
        for path, dtype in ((model_directory("llama"), d) for d in ("float32", "bfloat16"))
    )
    assert exact
    for name, buffer in exact.items():
        assert torch.equal(buffer, rounded[name])


def test_half_precision_on_disk_is_float32_by_default(tmp_path: Path):
    directory = tiny_model_directory("llama", tmp_path / "half", dtype=torch.float16)
    kinds = {p.dtype for p in load(str(directory)).original_model.parameters()}
    assert kinds == {torch.float32}


def test_attention_is_eager_so_that_patterns_can_be_read(model_directory: Directory):
    for style in ("gpt2", "llama", "neox", "mixtral", "bert"):
        bridge = load(str(model_directory(style)))
        _, cache = bridge.run_with_cache(tokens(), names_filter="blocks.1.attn.hook_pattern")
        pattern = cache["blocks.1.attn.hook_pattern"]
        torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(2, 4, 12))


def test_where_a_model_came_from_is_known_and_edits_are_noticed(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    reference = reference_of(bridge)
    assert reference is not None
    assert reference.path == model_directory("gpt2")
    assert unedited(bridge)
    with torch.no_grad():
        next(iter(bridge.original_model.parameters())).mul_(2)
    assert not unedited(bridge)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["MambaForCausalLM"], "model_type": "mamba"}, "MambaForCausalLM"),
        ({"architectures": ["<script>"], "model_type": "llama"}, "<script>"),
        ({"model_type": "whisper"}, "whisper"),
        ({}, "model type None"),
    ],
)
def test_any_other_architecture_is_refused_by_name_before_the_weights_are_looked_at(
    tmp_path: Path, config: dict[str, Any], said: str
):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Unsupported) as error:
        load(str(tmp_path))
    assert said in str(error.value)
    assert "LlamaForCausalLM" in str(error.value)


def test_an_object_of_another_architecture_is_refused_by_name():
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=64,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    )
    with pytest.raises(Unsupported, match="OPTForCausalLM"):
        load(OPTForCausalLM(config))


def test_pickled_weights_are_refused_with_the_way_to_convert_them(tmp_path: Path):
    directory = tiny_model_directory("gpt2", tmp_path / "model")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(Unsupported, match="save_pretrained"):
        load(str(directory))


def test_missing_weights_are_refused(tmp_path: Path):
    directory = tiny_model_directory("gpt2", tmp_path / "model")
    (directory / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="safetensors"):
        load(str(directory))


def test_a_directory_that_lacks_a_tensor_is_refused_instead_of_filled_at_random(tmp_path: Path):
    directory = tiny_model_directory("llama", tmp_path / "model")
    weights = load_file(directory / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptFile, match=r"layers\.1\.mlp\.up_proj"):
        load(str(directory))


@pytest.mark.parametrize("damage", ["truncated", "wrong shape", "not safetensors"])
def test_damaged_weights_are_one_error_that_names_the_directory(tmp_path: Path, damage: str):
    directory = tiny_model_directory("llama", tmp_path / "model")
    path = directory / "model.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "not safetensors":
        path.write_bytes(b"\x80\x04pickle")
    else:
        weights = load_file(path)
        weights["model.norm.weight"] = torch.ones(31)
        save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CorruptFile, match=str(directory)):
        load(str(directory))


def test_a_config_that_is_not_json_is_one_error(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"architectures": [')
    with pytest.raises(CorruptFile, match=r"config\.json"):
        load(str(tmp_path))


def test_python_files_of_a_model_do_not_run_unless_asked(tmp_path: Path):
    directory = tiny_model_directory("llama", tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    load(str(directory))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("device", ["cuda:7", "tpu", "", "cpu:3"])
def test_a_device_that_is_not_here_is_refused(model_directory: Directory, device: str):
    with pytest.raises(BadInput, match="device"):
        load(str(model_directory("gpt2")), device=device)


def test_an_unknown_dtype_is_refused(model_directory: Directory):
    with pytest.raises(BadInput, match="int8"):
        load(str(model_directory("gpt2")), dtype="int8")


def test_sharded_weights_load_as_the_single_file_does(tmp_path: Path, model_directory: Directory):
    sharded = tiny_model_directory("llama", tmp_path / "sharded", max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    with torch.no_grad():
        one, many = load(str(model_directory("llama"))), load(str(sharded))
        assert torch.equal(one(tokens()), many(tokens()))


@torch.no_grad()
def test_rows_of_a_batch_do_not_depend_on_their_neighbours(model_directory: Directory):
    for style in DECODERS:
        bridge = load(str(model_directory(style)))
        together = bridge(tokens())
        alone = torch.cat([bridge(tokens()[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


# Needs the small trained model that lies beside the repository on our machines.
@pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is not on this machine")
@torch.no_grad()
def test_a_trained_llama_tells_the_story_that_its_author_published():
    bridge = load(str(STORIES))
    ids = bridge.to_tokens("Once upon a time")
    assert ids[0, 0] == 1
    torch.testing.assert_close(bridge(ids), transformers_logits(STORIES, ids), atol=1e-4, rtol=0)
    for _ in range(12):
        ids = torch.cat([ids, bridge(ids)[:, -1:].argmax(dim=-1)], dim=1)
    text = bridge.tokenizer.decode(ids[0], skip_special_tokens=True)
    assert text.startswith("Once upon a time, there was a little girl")


def test_a_copy_under_another_path_loads_the_same(tmp_path: Path, model_directory: Directory):
    copy = tmp_path / "a name with spaces and ünïcode"
    shutil.copytree(model_directory("gpt2"), copy)
    with torch.no_grad():
        assert torch.equal(load(copy)(tokens()), load(model_directory("gpt2"))(tokens()))
