"""Merging directories: the stream is the rule in memory, and a failed run leaves no output."""

import errno
import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.abilities.merge import MergeRecipe, merge_models, stream
from interp.abilities.merge.method import merge_tensor
from interp.abilities.merge.methods import METHODS
from interp.abilities.moving.lineage import Lineage
from interp.abilities.streaming.writer import StagedDirectory
from interp.models.identity import model_identity
from interp.models.weight_files import INDEX, SINGLE
from interp.results.errors import BadInput, CorruptFile, Incomplete, Mismatch, Unsupported
from tests.abilities.checkpoints import (
    SHAPES,
    assert_same_bits,
    bits,
    near,
    random_tensors,
    read_model,
    write_model,
)

FORMATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
EVERY = ["task_arithmetic", "ties", "dare_linear", "dare_ties", "linear", "slerp"]
MATRIX = "model.layers.0.mlp.weight"


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def recipe_of(method, **given_):
    if method == "slerp":
        return MergeRecipe.of("slerp", n_models=1, t=0.3, preset=given_.get("preset", "exact"))
    return MergeRecipe.of(method, n_models=2, weights=[0.6, 0.5], density=0.4, **given_)


def merging(place, out, method="ties", models=("one", "two"), recipe=None, **options):
    recipe = recipe or recipe_of(method)
    named = [place / name for name in models[: len(recipe.weights)]]
    return merge_models(recipe, place / "base", named, out, **options)


def write_family(place, dtype=torch.float32, shards=(1, 1, 1)):
    base = random_tensors(0, dtype)
    models = [base, near(base, 1), near(base, 2)]
    for name, tensors, count in zip(("base", "one", "two"), models, shards, strict=True):
        write_model(place / name, tensors, shards=count)
    return models


def content(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def staging(out):
    return list(out.parent.glob(f"{out.name}.tmp-*"))


@pytest.fixture
def place(tmp_path):
    write_family(tmp_path, torch.bfloat16, shards=(2, 2, 3))
    return tmp_path


@settings(max_examples=25)
@given(
    method=st.sampled_from(EVERY),
    preset=st.sampled_from(["exact", "mergekit"]),
    dtype=st.sampled_from(FORMATS),
    shards=st.tuples(*[st.sampled_from([1, 2, 6])] * 3),
    chunk=st.sampled_from([1, 7, 32, 1 << 18]),
    threads=st.sampled_from([1, 4]),
)
def test_the_stream_is_the_rule_in_memory(
    tmp_path_factory, method, preset, dtype, shards, chunk, threads
):
    place = tmp_path_factory.mktemp("stream")
    base, *models = write_family(place, dtype, shards)
    recipe = recipe_of(method, preset=preset)
    merging(place, place / "out", recipe=recipe, chunk=chunk, threads=threads)
    made = read_model(place / "out")
    generator = torch.Generator().manual_seed(recipe.seed)
    for name in sorted(SHAPES):
        each = [model[name] for model in models[: len(recipe.weights)]]
        expected = merge_tensor(
            METHODS[recipe.method], base[name], each, recipe, name=name, generator=generator
        ).to(dtype)
        if recipe.method == "slerp" or (preset == "mergekit" and method.startswith("dare")):
            # Norms are float64 sums, whose last bit depends on how they are cut.
            torch.testing.assert_close(made[name], expected, rtol=1e-2, atol=1e-2)
        else:
            assert bits(made[name]) == bits(expected), name


@pytest.mark.parametrize("shards", [(1, 1, 1), (2, 1, 3), (6, 2, 1)])
@pytest.mark.parametrize("zero", ["none", "majority"])
@pytest.mark.parametrize("keep", ["floor", "paper"])
def test_trimming_the_whole_model_is_trimming_its_tensors_laid_end_to_end(
    tmp_path, shards, zero, keep
):
    base, *models = write_family(tmp_path, torch.float32, shards)
    recipe = recipe_of("ties", scope="model", zero=zero, keep=keep)
    merging(tmp_path, tmp_path / "out", recipe=recipe, chunk=11)
    made = read_model(tmp_path / "out")
    flat = [torch.cat([one[name].flatten() for name in sorted(SHAPES)]) for one in (base, *models)]
    expected = merge_tensor(METHODS["ties"], flat[0], flat[1:], recipe)
    together = torch.cat([made[name].flatten() for name in sorted(SHAPES)])
    assert bits(together) == bits(expected)


def test_each_tensor_or_the_whole_model_is_another_trim(place):
    one = merging(place, place / "tensor", recipe=recipe_of("ties", scope="tensor"))
    two = merging(place, place / "model", recipe=recipe_of("ties", scope="model"))
    assert one.root != two.root


@pytest.mark.parametrize("method", ["ties", "task_arithmetic", "dare_ties"])
def test_stopped_after_any_journal_entry_it_goes_on_to_the_same_bytes(place, monkeypatch, method):
    options = {"chunk": 32, "threads": 1, "sync_every": 1}
    merging(place, place / "whole", method, **options)
    expected = content(place / "whole")
    real, synced = StagedDirectory._sync_pending, [0]

    def killed_after(limit):
        def sync(self):
            real(self)
            synced[0] += 1
            if synced[0] == limit:
                raise Killed

        return sync

    steps = 0
    while True:
        steps += 1
        synced[0] = 0
        out = place / f"out{steps}"
        monkeypatch.setattr(StagedDirectory, "_sync_pending", killed_after(steps))
        try:
            merging(place, out, method, **options)
        except Killed:
            assert not out.exists()
            assert len(staging(out)) == 1
            monkeypatch.setattr(StagedDirectory, "_sync_pending", real)
            merging(place, out, method, **options)
            assert content(out) == expected
            assert not staging(out)
            continue
        break
    assert steps > 12


def test_pieces_that_are_safe_are_not_merged_again(place, monkeypatch):
    real, merged = stream.MergeStream._merged, []

    def counting(self, chunk, base, facts):
        merged.append(chunk)
        if len(merged) == 10:
            raise Killed
        return real(self, chunk, base, facts)

    monkeypatch.setattr(stream.MergeStream, "_merged", counting)
    options = {"chunk": 32, "threads": 1, "sync_every": 1}
    with pytest.raises(Killed):
        merging(place, place / "out", "ties", **options)
    merging(place, place / "out", "ties", **options)
    assert len(merged) == len(set(merged)) + 1


def test_a_disk_that_fills_up_leaves_nothing_at_the_place_and_goes_on(place, monkeypatch):
    expected = content(merging(place, place / "whole", chunk=32).path)
    real, written = os.pwrite, [0]

    def full(descriptor, data, offset):
        written[0] += 1
        if written[0] > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Incomplete, match="disk is full"):
            merging(place, place / "out", chunk=32)
    assert not (place / "out").exists()
    merging(place, place / "out", chunk=32)
    assert content(place / "out") == expected


def changed_model(place, change, **options):
    tensors = near(random_tensors(0, torch.bfloat16), 1)
    change(tensors)
    return write_model(place / "other", tensors, **options)


def assert_refused(place, kind, *words, methods=EVERY):
    for method in methods:
        with pytest.raises(kind) as refusal:
            merging(place, place / "out", method, models=("other", "one"))
        for word in words:
            assert word in str(refusal.value), method
        assert "\n" not in str(refusal.value)
        assert not (place / "out").exists()


def test_a_missing_tensor(place):
    changed_model(place, lambda tensors: tensors.pop(MATRIX))
    assert_refused(place, Mismatch, "other", "lacks", MATRIX)


def test_an_extra_tensor(place):
    changed_model(place, lambda tensors: tensors.update(extra=torch.ones(2)))
    assert_refused(place, Mismatch, "other", "holds 'extra'")


def test_another_shape(place):
    changed_model(place, lambda tensors: tensors.update({MATRIX: torch.ones(6, 9).bfloat16()}))
    assert_refused(place, Mismatch, MATRIX, "[6, 9]", "[9, 6]", SINGLE)


def test_another_vocabulary_unless_its_tensors_are_left_alone(place):
    changed_model(place, lambda tensors: None, tokenizer="two")
    assert_refused(place, Mismatch, "tokenizer", "lm_head")
    merging(place, place / "out", models=("other", "one"), skip_embeddings=True)
    base, made = read_model(place / "base"), read_model(place / "out")
    for name in base:
        vocabulary = name in ("lm_head.weight", "model.embed_tokens.weight")
        assert (bits(base[name]) == bits(made[name])) == vocabulary


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none(place, value):
    def spoil(tensors):
        tensors[MATRIX][2, 3] = value

    changed_model(place, spoil)
    assert_refused(place, CorruptFile, MATRIX, SINGLE, "entry 15", str(value))


def test_a_truncated_shard(place):
    file = changed_model(place, lambda tensors: None) / SINGLE
    file.write_bytes(file.read_bytes()[:-1])
    assert_refused(place, CorruptFile, SINGLE)


def test_tied_tensors_that_differ(tmp_path):
    base = random_tensors(0)
    write_model(
        tmp_path / "base", base | {"lm_head.weight": base["model.embed_tokens.weight"].clone()}
    )
    (tmp_path / "base" / "config.json").write_text(
        json.dumps({"model_type": "llama", "tie_word_embeddings": True})
    )
    for name in ("one", "other"):
        write_model(tmp_path / name, near(base, 1))
    assert_refused(tmp_path, Mismatch, "lm_head.weight", "tied", SINGLE)


def test_a_quantised_tensor(tmp_path):
    tensors = {"w.weight": torch.ones(4).to(torch.float8_e4m3fn)}
    for name in ("base", "one", "other"):
        write_model(tmp_path / name, tensors)
    assert_refused(tmp_path, Unsupported, "w.weight", "F8_E4M3")


def test_a_sum_too_large_for_the_format(tmp_path):
    write_model(tmp_path / "base", {"w.weight": torch.ones(4).half()})
    for name in ("one", "other"):
        write_model(tmp_path / name, {"w.weight": torch.full((4,), 6e4).half()})
    with pytest.raises(Mismatch, match=r"'w\.weight' becomes .* entry 0, too large for F16"):
        merging(tmp_path, tmp_path / "out", "task_arithmetic", models=("other", "one"))
    assert not (tmp_path / "out").exists()


def test_another_number_format_unless_it_may_be_cast(place):
    changed_model(place, lambda tensors: tensors.update({MATRIX: tensors[MATRIX].float()}))
    assert_refused(place, Mismatch, MATRIX, "F32", "BF16", "--cast")
    merging(place, place / "out", models=("other", "one"), cast=True)
    assert read_model(place / "out")[MATRIX].dtype == torch.bfloat16


def test_another_number_format_is_written_on_request(place):
    made = merging(place, place / "out", "task_arithmetic", dtype="float32")
    models = [read_model(place / name) for name in ("base", "one", "two")]
    expected = {
        name: merge_tensor(
            METHODS["task_arithmetic"],
            models[0][name],
            [model[name] for model in models[1:]],
            recipe_of("task_arithmetic"),
        )
        for name in SHAPES
    }
    assert_same_bits(read_model(made.path), expected)
    assert made.root == model_identity(made.path).root
    with pytest.raises(BadInput, match="'int8' is not one of"):
        merging(place, place / "again", dtype="int8")


def test_whole_numbers_are_those_of_the_base(tmp_path):
    for i, name in enumerate(("base", "one", "two")):
        tensors = {"w.weight": torch.full((3,), float(i)), "steps": torch.tensor([i, 2])}
        write_model(tmp_path / name, tensors)
    for method in EVERY:
        made = merging(tmp_path, tmp_path / method, method)
        assert read_model(made.path)["steps"].tolist() == [0, 2]


def test_the_output_is_a_whole_directory_that_names_its_parents(place):
    cache = place / "hashes.json"
    made = merging(place, place / "out", hash_cache=cache)
    names = {file.name for file in (place / "out").iterdir()}
    assert {"config.json", "tokenizer.json", "generation_config.json", INDEX} <= names
    assert not staging(place / "out")
    roots = [model_identity(place / name).root for name in ("base", "one", "two")]
    lineage = Lineage.load(place / "out")
    assert lineage is not None
    assert lineage.root == made.root == model_identity(place / "out").root
    assert lineage.ancestors == (roots[0],)
    assert lineage.recipe["models"] == roots[1:]
    assert lineage.provenance == made.provenance
    assert made.to_json()["recipe"]["method"] == "ties"
    assert 0 < made.share_changed == made.changed / made.n < 1
    assert cache.is_file()


def test_an_output_that_exists_is_kept_unless_it_may_be_replaced(place):
    before = content(merging(place, place / "out").path)
    with pytest.raises(BadInput, match="--overwrite"):
        merging(place, place / "out", "linear")
    assert content(place / "out") == before
    merging(place, place / "out", "linear", overwrite=True)
    assert content(place / "out") != before


def test_a_recipe_is_of_as_many_models_as_are_given(place):
    with pytest.raises(BadInput, match="recipe is of 2 models, 1"):
        merging(place, place / "out", models=("one",), recipe=recipe_of("ties"))
