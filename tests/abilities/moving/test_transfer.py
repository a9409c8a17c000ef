import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.arithmetic import AbilityTerm, LanguageTerm, merged_tensor
from interp.abilities.moving.extract import extract
from interp.abilities.moving.lineage import Lineage
from interp.abilities.moving.transfer import transfer
from interp.abilities.moving.weights import AbilityWeights
from interp.models.identity import model_identity
from interp.models.weight_files import INDEX, SINGLE
from interp.results.errors import BadInput, CorruptFile
from interp.results.provenance import Provenance
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
MATRICES = ["model.layers.0.mlp.weight", "model.layers.1.mlp.weight"]


def random_mask(base, share=0.4, seed=5, names=None):
    rng = np.random.default_rng(seed)
    return NeuronMask.from_dense(
        {name: rng.random(SHAPES[name]) < share for name in names or SHAPES},
        level="entry",
        recipe={"locator": "random"},
        base=model_identity(base),
        provenance=Provenance.collect("t", model_hash=None, corpus_hash=None, seed=5, settings={}),
    )


@pytest.fixture
def family(tmp_path):
    """Base, ability, general control and language model as tensors and as directories."""

    def make(dtype=torch.float32, shards=1, **options):
        base = random_tensors(0, dtype)
        models = {
            "base": base,
            "ability": near(base, 1),
            "general": near(base, 2),
            "language": near(base, 3),
        }
        for name, tensors in models.items():
            place = tmp_path / name
            if not place.exists():
                write_model(place, tensors, shards=shards, **options)
        return models, {name: tmp_path / name for name in models}

    return make


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("masked", [True, False])
def test_extracting_and_adding_gives_the_ability_model_on_the_mask(family, tmp_path, dtype, masked):
    models, place = family(dtype)
    mask = random_mask(place["base"]) if masked else None
    weights = extract(place["base"], place["ability"], tmp_path / "w", mask=mask)
    transfer(place["base"], weights, tmp_path / "out")
    expected = {
        name: torch.where(
            torch.from_numpy(mask.dense(name)) if mask else torch.tensor(True),
            models["ability"][name],
            models["base"][name],
        )
        for name in SHAPES
    }
    assert_same_bits(read_model(tmp_path / "out"), expected)


def test_a_sum_that_misses_its_target_is_patched(tmp_path):
    base = {"w.weight": torch.tensor([1.0, 1.0, 1.0], dtype=torch.bfloat16)}
    ability = {"w.weight": torch.tensor([2.0**-30, 1.5, 1.0], dtype=torch.bfloat16)}
    place = write_model(tmp_path / "base", base)
    weights = extract(place, write_model(tmp_path / "ability", ability), tmp_path / "w")
    assert weights.tensors["w.weight"].patch_positions.tolist() == [0]
    transfer(place, tmp_path / "w", tmp_path / "out")
    assert_same_bits(read_model(tmp_path / "out"), ability)
    transfer(place, weights, tmp_path / "half", gamma=0.5)
    assert read_model(tmp_path / "half")["w.weight"].tolist() == [0.5, 1.25, 1.0]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shards", [1, 3])
def test_with_every_coefficient_zero_the_files_are_copied_byte_for_byte(
    family, tmp_path, dtype, shards
):
    _, place = family(dtype, shards)
    weights = extract(place["base"], place["ability"], tmp_path / "w")
    made = transfer(
        place["base"], weights, tmp_path / "out", language=place["language"], gamma=0.0, eta=0.0
    )
    for file in place["base"].glob("*.safetensors"):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    assert made.changed == 0
    assert made.root == model_identity(place["base"]).root


def test_scale_zero_copies_infinities_and_not_a_number_too(tmp_path):
    tensors = {"w.weight": torch.tensor([-0.0, float("inf"), float("nan"), 1.0])}
    place = write_model(tmp_path / "base", tensors)
    clean = write_model(tmp_path / "clean", {"w.weight": torch.ones(4)})
    weights = extract(
        clean, write_model(tmp_path / "a", {"w.weight": torch.zeros(4)}), tmp_path / "w"
    )
    transfer(place, weights, tmp_path / "out", gamma=0.0, force=True)
    assert (tmp_path / "out" / SINGLE).read_bytes() == (place / SINGLE).read_bytes()


def test_an_entry_outside_the_mask_may_be_infinite_and_keeps_its_bits(tmp_path):
    tensors = {"w.weight": torch.tensor([-0.0, float("inf"), float("nan"), 1.0] * 16)}
    moved = {"w.weight": torch.where(tensors["w.weight"] == 1, 2.0, tensors["w.weight"])}
    place = write_model(tmp_path / "base", tensors)
    chosen = (tensors["w.weight"] == 1).numpy()
    mask = NeuronMask.from_dense(
        {"w.weight": chosen},
        level="entry",
        recipe={},
        base=model_identity(place),
        provenance=Provenance.collect("t", model_hash=None, corpus_hash=None, seed=5, settings={}),
    )
    weights = extract(place, write_model(tmp_path / "a", moved), tmp_path / "w", mask=mask)
    made = transfer(place, weights, tmp_path / "out")
    assert_same_bits(read_model(tmp_path / "out"), moved)
    assert made.changed == 16


def test_all_coefficients_one_on_the_base_is_the_analogy(family, tmp_path):
    models, place = family()
    weights = extract(
        place["base"], place["ability"], tmp_path / "w", general=place["general"], beta=1.0
    )
    transfer(place["base"], weights, tmp_path / "out", language=place["language"])
    for name, merged in read_model(tmp_path / "out").items():
        one, two, three = (models[k][name].double() for k in ("ability", "language", "general"))
        analogy = one + two - three
        scale = torch.stack([one.abs(), two.abs(), three.abs(), models["base"][name].abs()]).amax(0)
        assert ((merged.double() - analogy).abs() <= 4 * 2.0**-24 * scale).all()


def test_all_coefficients_one_onto_the_general_control_is_the_ability_model(family, tmp_path):
    models, place = family()
    weights = extract(
        place["base"], place["ability"], tmp_path / "w", general=place["general"], beta=1.0
    )
    transfer(place["base"], weights, tmp_path / "out", language=place["general"])
    transfer(place["general"], weights, tmp_path / "onto", force=True)
    for out in ("out", "onto"):
        for name, merged in read_model(tmp_path / out).items():
            torch.testing.assert_close(merged, models["ability"][name], rtol=2e-6, atol=2e-7)


@settings(max_examples=30)
@given(
    gamma=st.sampled_from([0.0, 1.0, 0.3, -1.0]),
    eta=st.sampled_from([0.0, 1.0, 0.7, -0.5]),
    dtype=st.sampled_from(FORMATS),
    shards=st.sampled_from([1, 2, 6]),
    chunk=st.sampled_from([1, 7, 8, 1 << 18]),
    threads=st.sampled_from([1, 4]),
)
def test_the_stream_is_the_formula_in_memory(
    tmp_path_factory, gamma, eta, dtype, shards, chunk, threads
):
    place = tmp_path_factory.mktemp("stream")
    base = random_tensors(0, dtype)
    ability, general, language = (near(base, seed) for seed in (1, 2, 3))
    write_model(place / "base", base, shards=shards)
    write_model(place / "ability", ability)
    write_model(place / "general", general, shards=2)
    write_model(place / "language", language, shards=3)
    mask = random_mask(place / "base")
    weights = extract(
        place / "base",
        place / "ability",
        place / "w",
        general=place / "general",
        mask=mask,
        chunk=chunk,
        threads=threads,
    )
    transfer(
        place / "base",
        weights,
        place / "out",
        language=place / "language",
        gamma=gamma,
        eta=eta,
        chunk=chunk,
        threads=threads,
    )
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    expected = {
        name: merged_tensor(
            base[name].to(compute),
            abilities=[
                AbilityTerm(
                    gamma,
                    torch.from_numpy(np.flatnonzero(mask.dense(name))),
                    torch.from_numpy(weights.dense(name)[mask.dense(name)]),
                )
            ],
            languages=[LanguageTerm(eta, language[name].to(compute))],
        ).to(dtype)
        for name in SHAPES
    }
    assert_same_bits(read_model(place / "out"), expected)
    for name in SHAPES:
        plain = base[name].to(compute) + gamma * torch.from_numpy(weights.dense(name))
        plain = plain + eta * (language[name].to(compute) - base[name].to(compute))
        torch.testing.assert_close(expected[name], plain.to(dtype), rtol=1e-2, atol=1e-2)


def test_two_abilities_and_two_languages_add_up_in_their_order(family, tmp_path):
    models, place = family()
    one = extract(place["base"], place["ability"], tmp_path / "w1", mask=random_mask(place["base"]))
    other = random_mask(place["base"], seed=6)
    two = extract(place["base"], place["general"], tmp_path / "w2", mask=other)
    for languages in ([], [place["language"], place["general"]]):
        out = tmp_path / f"out{len(languages)}"
        transfer(
            place["base"],
            [one, two],
            out,
            language=languages,
            gamma=[0.5, 2.0],
            mu=[0.25, -1.0] if languages else 1.0,
        )
        for name, merged in read_model(out).items():
            base = models["base"][name]
            expected = base + 0.5 * torch.from_numpy(one.dense(name))
            expected = expected + 2.0 * torch.from_numpy(two.dense(name))
            if languages:
                expected = expected + 0.25 * (models["language"][name] - base)
                expected = expected - (models["general"][name] - base)
            torch.testing.assert_close(merged, expected, rtol=1e-6, atol=1e-6)


def test_the_share_of_tensors_that_is_selected_gets_the_ability_and_the_rest_does_not(
    family, tmp_path
):
    models, place = family()
    weights = extract(place["base"], place["ability"], tmp_path / "w")
    made = transfer(
        place["base"], weights, tmp_path / "out", language=place["language"], k2=0.5, eta_rest=0.0
    )
    (selected,) = made.selected
    (similarity,) = made.similarity
    ranked = sorted(similarity, key=lambda name: similarity[name].on_mask)
    assert set(selected) == set(ranked[:3])
    for name, merged in read_model(tmp_path / "out").items():
        if name not in selected:
            assert bits(merged) == bits(models["base"][name])
    assert made.share_changed == made.changed / made.n > 0


def test_tensors_whose_weights_are_all_zero_take_no_place_in_the_selection(tmp_path):
    base = random_tensors(0)
    frozen = {name: base[name] for name in ("lm_head.weight", "model.embed_tokens.weight")}
    for i, name in enumerate(["base", "ability", "language"]):
        write_model(tmp_path / name, near(base, i) | (frozen if name == "ability" else {}))
    write_model(tmp_path / "start", base)
    weights = extract(tmp_path / "start", tmp_path / "ability", tmp_path / "w")
    made = transfer(
        tmp_path / "start", weights, tmp_path / "out", language=tmp_path / "language", k2=0.5
    )
    assert len(made.selected[0]) == 2
    assert not set(made.selected[0]) & frozen.keys()
    assert not made.similarity[0].keys() & frozen.keys()


def test_the_output_is_a_whole_directory_that_names_its_ancestors(family, tmp_path):
    _, place = family(shards=3)
    weights = extract(place["base"], place["ability"], tmp_path / "w")
    made = transfer(place["base"], weights, tmp_path / "out")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"config.json", "tokenizer.json", "generation_config.json", INDEX} <= names
    assert "README.md" not in names
    assert not list(tmp_path.glob("out.tmp*"))
    lineage = Lineage.load(tmp_path / "out")
    assert lineage is not None
    assert lineage.root == made.root == model_identity(tmp_path / "out").root
    assert lineage.ancestors == (model_identity(place["base"]).root,)
    again = transfer(tmp_path / "out", weights, tmp_path / "twice")
    twice = Lineage.load(again.path)
    assert twice is not None
    assert twice.ancestors == (made.root, lineage.ancestors[0])


def test_another_number_format_is_written_on_request(family, tmp_path):
    models, place = family(shards=2)
    weights = extract(place["base"], place["ability"], tmp_path / "w")
    made = transfer(place["base"], weights, tmp_path / "out", dtype="bfloat16")
    expected = {name: tensor.bfloat16() for name, tensor in models["ability"].items()}
    assert_same_bits(read_model(made.path), expected)
    assert json.loads((made.path / "config.json").read_text())["dtype"] == "bfloat16"
    assert made.root == model_identity(made.path).root
    index = json.loads((made.path / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in expected.values())


def test_whole_numbers_are_copied(tmp_path):
    base = {"w.weight": torch.ones(3), "steps": torch.tensor([1, 2])}
    other = {"w.weight": torch.zeros(3), "steps": torch.tensor([5, 6])}
    place = write_model(tmp_path / "base", base)
    weights = extract(place, write_model(tmp_path / "other", other), tmp_path / "w")
    transfer(place, weights, tmp_path / "out", language=tmp_path / "other")
    assert read_model(tmp_path / "out")["steps"].tolist() == [1, 2]


def test_the_weights_read_back_are_those_that_were_written(family, tmp_path):
    models, place = family()
    mask = random_mask(place["base"], names=MATRICES)
    weights = extract(place["base"], place["ability"], tmp_path / "w", mask=mask, alpha=2.0)
    loaded = AbilityWeights.load(tmp_path / "w")
    assert sorted(loaded.tensors) == MATRICES
    assert loaded.count == mask.count == weights.count
    for name in MATRICES:
        change = models["ability"][name] - models["base"][name]
        expected = np.where(mask.dense(name), 2.0 * change.numpy(), 0)
        np.testing.assert_array_equal(loaded.dense(name), expected)
    saved = AbilityWeights.load(loaded.save(tmp_path / "again"))
    for name in MATRICES:
        np.testing.assert_array_equal(saved.dense(name), loaded.dense(name))


def test_an_ability_restricted_to_types_goes_into_these_and_the_language_everywhere(tmp_path):
    shapes = {
        f"model.layers.{layer}.{name}.weight": (4, 4)
        for layer in range(2)
        for name in ("self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj")
    }
    base = random_tensors(0, shapes=shapes)
    ability, language = near(base, 1), near(base, 2)
    for name, tensors in (("base", base), ("ability", ability), ("language", language)):
        write_model(tmp_path / name, tensors)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    made = transfer(tmp_path / "base", weights, tmp_path / "out", types=["q", "down"])
    assert made.with_weights == (4,)
    for name, tensor in read_model(made.path).items():
        assert bits(tensor) == bits((base if "k_proj" in name else ability)[name])
    both = transfer(
        tmp_path / "base",
        weights,
        tmp_path / "both",
        language=tmp_path / "language",
        types=["q"],
        k2=0.5,
        eta_rest=0.5,
    )
    assert len(both.selected[0]) == 1
    assert all("q_proj" in name for name in both.selected[0])
    with pytest.raises(BadInput, match="'norm'"):
        transfer(tmp_path / "base", weights, tmp_path / "none", types=["norm"])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("threads", [1, 4])
def test_sums_too_large_are_put_at_the_end_of_the_range_on_request_and_counted(tmp_path, threads):
    base = {"w.weight": torch.tensor([1.0, 60000.0, -60000.0, 2.0] * 8, dtype=torch.float16)}
    moved = {"w.weight": torch.tensor([1.5, 65000.0, -65000.0, 2.0] * 8, dtype=torch.float16)}
    place = write_model(tmp_path / "base", base)
    weights = extract(place, write_model(tmp_path / "a", moved), tmp_path / "w")
    made = transfer(
        place,
        weights,
        tmp_path / "out",
        gamma=3.0,
        saturate=True,
        undo="full",
        chunk=3,
        threads=threads,
    )
    assert made.saturated == 16
    assert read_model(made.path)["w.weight"].tolist() == [2.5, 65504.0, -65504.0, 2.0] * 8
    assert transfer(place, weights, tmp_path / "fits", saturate=True).saturated == 0


def test_saturation_does_not_hide_an_infinity_of_the_base(tmp_path):
    base = {"w.weight": torch.tensor([1.0, float("inf")], dtype=torch.float16)}
    clean = {"w.weight": torch.tensor([1.0, 1.0], dtype=torch.float16)}
    moved = {"w.weight": torch.tensor([2.0, 2.0], dtype=torch.float16)}
    weights = extract(
        write_model(tmp_path / "clean", clean), write_model(tmp_path / "a", moved), tmp_path / "w"
    )
    with pytest.raises(CorruptFile, match=r"'w\.weight' of .* is inf at entry 1"):
        transfer(
            write_model(tmp_path / "base", base),
            weights,
            tmp_path / "out",
            saturate=True,
            force=True,
        )


def test_a_selection_is_reported_beside_random_tensors_matched_for_size(tmp_path):
    shapes = {
        f"model.layers.{layer}.{name}.weight": (6, 6) for layer in range(8) for name in ("a", "b")
    }
    base = random_tensors(0, shapes=shapes)
    for i, name in enumerate(["base", "ability", "language"]):
        write_model(tmp_path / name, near(base, i) if i else base)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    nulls = {}
    for select in ("least", "most", "random"):
        made = transfer(
            tmp_path / "base",
            weights,
            tmp_path / select,
            language=tmp_path / "language",
            k2=0.5,
            select=select,
        )
        (nulls[select],) = made.null
        cosines = [made.similarity[0][name].on_mask for name in made.selected[0]]
        assert nulls[select].mean == pytest.approx(np.mean(cosines))
        low, high = nulls[select].null_interval
        assert low < nulls[select].null_mean < high
    assert nulls["least"].mean < nulls["least"].null_interval[0]
    assert nulls["most"].mean > nulls["most"].null_interval[1]
    low, high = nulls["random"].null_interval
    assert low <= nulls["random"].mean <= high
    whole = transfer(tmp_path / "base", weights, tmp_path / "all", language=tmp_path / "language")
    assert whole.null == (None,)
