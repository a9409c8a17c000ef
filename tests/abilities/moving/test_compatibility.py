"""What does not belong together is refused in one line that names it, and nothing is written."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.abilities.moving.lineage import FILE
from interp.abilities.moving.transfer import transfer
from interp.abilities.moving.weights import AbilityWeights
from interp.models.identity import model_identity
from interp.models.weight_files import SINGLE
from interp.results.errors import BadInput, CorruptFile, Mismatch, Unsupported
from interp.results.finding import DATA
from interp.results.provenance import Provenance
from tests.abilities.checkpoints import near, random_tensors, read_model, write_model

MATRIX = "model.layers.0.mlp.weight"
NOTHING = Provenance.collect("t", model_hash=None, corpus_hash=None, seed=0, settings={})


def mask_of(directory, chosen):
    return NeuronMask.from_dense(
        {name: array.numpy() for name, array in chosen.items()},
        level="entry",
        recipe={},
        base=model_identity(directory),
        provenance=NOTHING,
    )


def all_of(tensors, *names):
    return {name: torch.ones_like(tensors[name], dtype=torch.bool) for name in names}


@pytest.fixture
def place(tmp_path):
    base = random_tensors(0)
    write_model(tmp_path / "base", base, shards=2)
    for i, name in enumerate(["ability", "general", "language"]):
        write_model(tmp_path / name, near(base, i + 1), shards=2)
    extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights")
    return tmp_path


def changed_model(place, change, name="other", **options):
    tensors = near(random_tensors(0), 1)
    change(tensors)
    return write_model(place / name, tensors, **options)


def assert_both_refuse(place, kind, *words, **options):
    """Both commands refuse `other`: extract as the ability, transfer as the language."""
    for work in (
        lambda: extract(place / "base", place / "other", place / "out", **options),
        lambda: transfer(
            place / "base", place / "weights", place / "out", language=place / "other", **options
        ),
    ):
        with pytest.raises(kind) as refusal:
            work()
        for word in words:
            assert word in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert not (place / "out").exists()


def test_weights_in_memory_are_known_by_their_numbers(place):
    loaded = AbilityWeights.load(place / "weights")
    name = next(iter(loaded.tensors))
    tensor = loaded.tensors[name]
    in_memory = replace(loaded, data_sha256=None)
    other = replace(tensor, delta=tensor.delta + np.float32(1))
    changed = replace(in_memory, tensors=loaded.tensors | {name: other})
    assert loaded.digest == loaded.data_sha256
    assert in_memory.digest == replace(in_memory).digest
    assert in_memory.digest != changed.digest


def test_a_missing_tensor(place):
    changed_model(place, lambda tensors: tensors.pop(MATRIX))
    assert_both_refuse(place, Mismatch, "other", "lacks", MATRIX)


def test_an_extra_tensor(place):
    changed_model(place, lambda tensors: tensors.update(extra=torch.ones(2)))
    assert_both_refuse(place, Mismatch, "other", "holds 'extra'")


def test_another_shape(place):
    changed_model(place, lambda tensors: tensors.update({MATRIX: torch.ones(6, 9)}))
    assert_both_refuse(place, Mismatch, MATRIX, "[6, 9]", "[9, 6]")


def test_another_number_format_unless_it_may_be_cast(place):
    changed_model(place, lambda tensors: tensors.update({MATRIX: tensors[MATRIX].bfloat16()}))
    assert_both_refuse(place, Mismatch, MATRIX, "BF16", "F32", "--cast")
    transfer(place / "base", place / "weights", place / "out", language=place / "other", cast=True)
    assert read_model(place / "out")[MATRIX].dtype == torch.float32


def test_a_quantised_tensor(tmp_path):
    tensors = {"w.weight": torch.ones(4).to(torch.float8_e4m3fn)}
    write_model(tmp_path / "base", tensors)
    write_model(tmp_path / "other", tensors)
    with pytest.raises(Unsupported, match=r"'w\.weight'.*F8_E4M3"):
        extract(tmp_path / "base", tmp_path / "other", tmp_path / "out")


def test_another_vocabulary_unless_its_tensors_are_left_alone(place):
    changed_model(place, lambda tensors: None, tokenizer="two")
    for refused in (
        lambda: extract(place / "base", place / "other", place / "out"),
        lambda: transfer(
            place / "base", place / "weights", place / "out", language=place / "other"
        ),
    ):
        with pytest.raises(Mismatch, match="tokenizer.*lm_head"):
            refused()
    transfer(
        place / "base",
        place / "weights",
        place / "out",
        language=place / "other",
        skip_embeddings=True,
    )
    base, made = read_model(place / "base"), read_model(place / "out")
    for name in base:
        vocabulary = name in ("lm_head.weight", "model.embed_tokens.weight")
        assert torch.equal(base[name], made[name]) == vocabulary
    inner = mask_of(place / "base", all_of(base, MATRIX))
    extract(place / "base", place / "other", place / "inner", mask=inner)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_in_a_used_place(place, value):
    def spoil(tensors):
        tensors[MATRIX][2, 3] = value

    changed_model(place, spoil)
    assert_both_refuse(place, CorruptFile, MATRIX, SINGLE, "entry 15", str(value))


def test_a_truncated_shard(place):
    file = changed_model(place, lambda tensors: None) / SINGLE
    file.write_bytes(file.read_bytes()[:-1])
    assert_both_refuse(place, CorruptFile, str(file), "truncated")


def test_a_base_that_the_weights_are_not_of_unless_forced_or_descended(place):
    weights = place / "weights"
    with pytest.raises(Mismatch, match=r"--language.*--force"):
        transfer(place / "language", weights, place / "out")
    assert not (place / "out").exists()
    transfer(place / "language", weights, place / "forced", force=True)
    made = transfer(place / "base", weights, place / "made", language=place / "language")
    transfer(made.path, weights, place / "descended")
    with pytest.raises(Mismatch):
        changed = (made.path / FILE).read_text().replace(made.root, "0" * 64)
        (made.path / FILE).write_text(changed)
        transfer(made.path, weights, place / "out")


def test_a_mask_of_another_model(place):
    mask = mask_of(place / "general", all_of(random_tensors(0), MATRIX))
    with pytest.raises(Mismatch, match="the mask is of the model"):
        extract(place / "base", place / "ability", place / "out", mask=mask)


def test_a_mask_with_a_tensor_of_another_name_or_shape(place):
    for chosen, word in (
        ({"q": torch.ones(2, dtype=torch.bool)}, "'q'"),
        ({MATRIX: torch.ones(6, 9, dtype=torch.bool)}, "the mask"),
    ):
        with pytest.raises(Mismatch, match=word):
            mask = mask_of(place / "base", chosen)
            extract(place / "base", place / "ability", place / "out", mask=mask)


def test_weights_whose_bytes_changed(place):
    data = place / "weights" / DATA
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    with pytest.raises(CorruptFile, match="checksum"):
        transfer(place / "base", place / "weights", place / "out")
    assert AbilityWeights.load(place / "weights", verify=False).count


def test_a_sum_too_large_for_the_format(tmp_path):
    base = {"w.weight": torch.tensor([1.0, 60000.0], dtype=torch.float16)}
    other = {"w.weight": torch.tensor([1.0, 65000.0], dtype=torch.float16)}
    write_model(tmp_path / "base", base)
    weights = extract(
        tmp_path / "base", write_model(tmp_path / "other", other), tmp_path / "weights"
    )
    with pytest.raises(Mismatch, match=r"'w\.weight' becomes 69984\.0 at entry 1.*F16"):
        transfer(tmp_path / "base", weights, tmp_path / "out", gamma=2.0)
    transfer(tmp_path / "base", weights, tmp_path / "wide", gamma=2.0, dtype="float32")
    assert read_model(tmp_path / "wide")["w.weight"].tolist() == [1.0, 69984.0]


def tied_models(tmp_path, *, split=False):
    for i, name in enumerate(["base", "ability", "language"]):
        tensors = near(random_tensors(0), i)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        if split and name == "language":
            tensors["lm_head.weight"][3, 3] += 1
        write_model(tmp_path / name, tensors, tie_word_embeddings=True)


def test_a_tied_pair_stored_twice_stays_equal(tmp_path):
    tied_models(tmp_path)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights")
    transfer(tmp_path / "base", weights, tmp_path / "out", language=tmp_path / "language")
    made = read_model(tmp_path / "out")
    assert torch.equal(made["lm_head.weight"], made["model.embed_tokens.weight"])


def test_a_tied_pair_that_differs_or_a_mask_that_splits_it(tmp_path):
    tied_models(tmp_path, split=True)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights")
    with pytest.raises(Mismatch, match=r"tied.*differ"):
        transfer(tmp_path / "base", weights, tmp_path / "out", language=tmp_path / "language")
    mask = mask_of(tmp_path / "base", all_of(random_tensors(0), "lm_head.weight"))
    with pytest.raises(Mismatch, match=r"tied"):
        extract(tmp_path / "base", tmp_path / "ability", tmp_path / "out", mask=mask)
    assert not (tmp_path / "out").exists()


def test_a_tied_head_that_is_not_in_the_file_is_changed_through_the_embedding(tmp_path):
    for i, name in enumerate(["base", "ability"]):
        tensors = near(random_tensors(0), i)
        del tensors["lm_head.weight"]
        write_model(tmp_path / name, tensors, tie_word_embeddings=True)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights")
    made = transfer(tmp_path / "base", weights, tmp_path / "out")
    assert made.root == model_identity(tmp_path / "ability").root


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"k2": 1.5}, "k2"),
        ({"dtype": "float8"}, "float8"),
        ({"gamma": [1.0, 2.0]}, "gamma"),
        ({"mu": [1.0, 2.0]}, "mu"),
    ],
)
def test_settings_that_mean_nothing(place, options, word):
    with pytest.raises(BadInput, match=word):
        transfer(
            place / "base", place / "weights", place / "out", language=place / "language", **options
        )


def test_a_beta_without_a_control(place):
    with pytest.raises(BadInput, match="--general"):
        extract(place / "base", place / "ability", place / "out", beta=0.5)


def test_a_header_of_weights_that_lies(place):
    header = place / "weights" / "header.json"
    content = json.loads(header.read_text())
    for change, word in (
        ({"tensors": {MATRIX: {**content["tensors"][MATRIX], "count": 3}}}, "unknown"),
        ({"tensors": {MATRIX: {**content["tensors"][MATRIX], "encoding": "magic"}}}, "magic"),
        ({"tensors": {"../x": content["tensors"][MATRIX]}}, "x"),
        ({"recipe": {}}, "alpha"),
        ({"base": 3}, "garbles"),
    ):
        header.write_text(json.dumps(content | change))
        with pytest.raises(CorruptFile, match=word):
            AbilityWeights.load(place / "weights")


def test_the_weights_of_a_mask_are_only_where_it_is(place):
    chosen = np.zeros((9, 6), bool)
    chosen[1, 2] = True
    mask = mask_of(place / "base", {MATRIX: torch.from_numpy(chosen)})
    weights = extract(place / "base", place / "ability", place / "one", mask=mask)
    assert weights.counts_by_tensor() == {MATRIX: 1}
