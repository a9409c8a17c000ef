import hashlib
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from interp.models.identity import (
    config_digest,
    model_hash,
    model_identity,
    tensor_digest,
    tied_pairs,
)
from interp.models.weight_files import INDEX, SINGLE
from interp.results.errors import BadInput, CorruptFile

ARRAYS = {
    "model.embed_tokens.weight": np.arange(12, dtype=np.float32).reshape(4, 3),
    "model.norm.weight": np.ones(3, np.float32),
    "lm_head.weight": -np.arange(12, dtype=np.float32).reshape(4, 3),
}


def write(directory, shards, metadata=None, config=None):
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config or {"model_type": "llama"}))
    if len(shards) == 1:
        save_file(shards[0], directory / SINGLE, metadata)
        return directory
    weight_map = {}
    for i, shard in enumerate(shards):
        save_file(shard, directory / f"part-{i}.safetensors", metadata)
        weight_map |= dict.fromkeys(shard, f"part-{i}.safetensors")
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return directory


def test_the_digest_of_a_tensor_is_the_stated_formula(tmp_path):
    identity = model_identity(write(tmp_path / "m", [ARRAYS]))
    name, array = "model.norm.weight", ARRAYS["model.norm.weight"]
    stated = hashlib.sha256(f"{name}\0F32\x003\0".encode() + array.tobytes()).hexdigest()
    assert identity.tensors[name] == stated
    assert tensor_digest(name, "F32", (3,), [array.tobytes()[:5], array.tobytes()[5:]]) == stated
    assert identity.n == 27
    assert identity.dtype == "F32"


@given(st.permutations(sorted(ARRAYS)), st.integers(1, 2))
def test_the_root_does_not_depend_on_sharding_order_or_metadata(tmp_path_factory, names, cut):
    place = tmp_path_factory.mktemp("models")
    parts = [names[:cut], names[cut:]]
    one = model_identity(write(place / "one", [ARRAYS]))
    many = model_identity(
        write(place / "many", [{n: ARRAYS[n] for n in part} for part in parts], {"format": "pt"})
    )
    assert one == many


@pytest.mark.parametrize("bit", range(0, 8))
def test_one_flipped_bit_changes_the_root(tmp_path, bit):
    directory = write(tmp_path / "m", [ARRAYS])
    before = model_identity(directory)
    file = directory / SINGLE
    content = bytearray(file.read_bytes())
    content[-1] ^= 1 << bit
    file.write_bytes(content)
    after = model_identity(directory)
    assert before.root != after.root
    assert sum(before.tensors[n] != after.tensors[n] for n in ARRAYS) == 1


def test_the_same_bytes_under_another_shape_or_name_are_another_model(tmp_path):
    flat = {name: array.reshape(-1) for name, array in ARRAYS.items()}
    renamed = {f"x.{name}": array for name, array in ARRAYS.items()}
    roots = {
        model_identity(write(tmp_path / str(i), [arrays])).root
        for i, arrays in enumerate([ARRAYS, flat, renamed])
    }
    assert len(roots) == 3


def test_the_config_hash_forgets_versions_and_paths_only():
    config = {"model_type": "llama", "rope_theta": 1e4}
    assert config_digest(config) == config_digest(config | {"transformers_version": "5"})
    assert config_digest(config) != config_digest(config | {"rope_theta": 1e5})


def test_the_model_hash_sees_weights_and_config(tmp_path):
    hashes = {
        model_hash(write(tmp_path / "a", [ARRAYS])),
        model_hash(write(tmp_path / "b", [ARRAYS], config={"model_type": "gpt2"})),
        model_hash(
            write(tmp_path / "c", [ARRAYS | {"model.norm.weight": np.zeros(3, np.float32)}])
        ),
    }
    assert len(hashes) == 3


def test_the_tokenizer_is_identified_by_its_files(tmp_path):
    directory = write(tmp_path / "m", [ARRAYS])
    assert model_identity(directory).tokenizer_digest is None
    (directory / "tokenizer.json").write_text("{}")
    first = model_identity(directory).tokenizer_digest
    (directory / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    assert first not in (None, model_identity(directory).tokenizer_digest)


def test_tied_names_come_from_files_and_config():
    both = ["model.embed_tokens.weight", "lm_head.weight"]
    assert tied_pairs(both, {}) == ()
    assert tied_pairs(both, {"tie_word_embeddings": True}) == ((both[1], both[0]),)
    assert tied_pairs(both[:1], {}) == ((both[1], both[0]),)
    assert tied_pairs(["encoder.layer.0.weight"], {"tie_word_embeddings": True}) == ()


def test_the_cache_is_used_for_unchanged_files_and_not_for_changed_ones(tmp_path):
    directory, cache = write(tmp_path / "m", [ARRAYS]), tmp_path / "cache.json"
    file = directory / SINGLE
    os.utime(file, ns=(10**18, 10**18))
    first = model_identity(directory, cache=cache)
    planted = cache.read_text().replace(first.tensors["lm_head.weight"], "0" * 64)
    cache.write_text(planted)
    assert model_identity(directory, cache=cache).tensors["lm_head.weight"] == "0" * 64
    os.utime(file, ns=(10**18, 10**18 + 1))
    assert model_identity(directory, cache=cache) == first


def test_a_file_written_just_now_is_not_cached(tmp_path):
    directory, cache = write(tmp_path / "m", [ARRAYS]), tmp_path / "cache.json"
    os.utime(directory / SINGLE, ns=(2**62, 2**62))
    model_identity(directory, cache=cache)
    assert json.loads(cache.read_text()) == {}


def test_a_truncated_shard_and_a_missing_config_are_one_line_errors(tmp_path):
    directory = write(tmp_path / "m", [ARRAYS])
    file = directory / SINGLE
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=SINGLE):
        model_identity(directory)
    write(tmp_path / "n", [ARRAYS]).joinpath("config.json").unlink()
    with pytest.raises(BadInput, match=r"config\.json"):
        model_identity(tmp_path / "n")
