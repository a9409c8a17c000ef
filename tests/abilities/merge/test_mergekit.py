"""The preset `mergekit` is mergekit 0.1.5, bit for bit."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from interp.abilities.merge import MergeRecipe, PresetName, merge_models
from interp.abilities.merge.method import merge_tensor
from interp.abilities.merge.methods import METHODS
from tests.abilities.checkpoints import read_model
from tests.abilities.merge.data.mergekit_golden import CASES, DTYPES, SEED, inputs, write_inputs

GOLDEN = Path(__file__).parent / "data" / "mergekit-0.1.5.safetensors"
BIT_FOR_BIT = [case for case in CASES if case.split("_")[0] in ("task", "ties", "linear")]
TRIMMED = {"ties": 0.3, "ties_three": 0.6, "ties_summed": 0.5}


def settings_of(case):
    method, each, shared = CASES[case]
    weights = [one.get("weight", 1.0) for one in each]
    names = {"lambda": "scale", "normalize": "normalize", "t": "t"}
    given_ = {names[key]: value for key, value in shared.items() if key in names}
    if shared.get("rescale") is False:
        given_["rescale"] = "none"
    if "density" in each[0]:
        given_["density"] = [one["density"] for one in each]
    return method, {"n_models": len(each), "weights": weights, "seed": SEED, **given_}


def recipe_of(case, preset: PresetName = "mergekit"):
    method, settings = settings_of(case)
    return MergeRecipe.of(method, preset=preset, **settings)


@cache
def golden(dtype):
    models: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(GOLDEN).items():
        kind, model, name = key.split("/")
        if kind == dtype:
            models.setdefault(model, {})[name] = tensor
    return models


def sources(dtype, case):
    models = golden(dtype)
    chosen = [models[name] for name in ("one", "two", "three")[: len(CASES[case][1])]]
    return models["base"], chosen, models[case]


def bits(tensor):
    return tensor.contiguous().view(torch.int16 if tensor.itemsize == 2 else torch.int32)


def at_the_threshold(base, models, density):
    """Entries where a model's difference equals the smallest one kept."""
    found = torch.zeros_like(base, dtype=torch.bool)
    for model in models:
        size = (model - base).abs()
        k = max(1, int(density * size.numel()))
        threshold = size.float().flatten().sort(descending=True).values[k - 1]
        found |= size.float() == threshold
    return found


@pytest.fixture
def directories(tmp_path):
    def make(dtype):
        write_inputs(tmp_path / dtype, dtype, inputs(DTYPES[dtype]))
        return tmp_path / dtype

    return make


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_stored_inputs_are_those_of_the_script(dtype):
    for model, tensors in inputs(DTYPES[dtype]).items():
        for name, tensor in tensors.items():
            assert torch.equal(bits(tensor), bits(golden(dtype)[model][name]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", BIT_FOR_BIT)
def test_streamed_it_gives_mergekits_bits(directories, tmp_path, dtype, case):
    place = directories(dtype)
    base, models, expected = sources(dtype, case)
    named = [place / name for name in ("one", "two", "three")[: len(models)]]
    merge_models(recipe_of(case), place / "base", named, tmp_path / "out", chunk=37)
    made = read_model(tmp_path / "out")
    for name, tensor in expected.items():
        differ = bits(made[name]) != bits(tensor)
        if case in TRIMMED:
            each = [model[name] for model in models]
            differ &= ~at_the_threshold(base[name], each, TRIMMED[case])
        assert not differ.any(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["dare_plain", "dare_linear", "dare_ties"])
def test_dare_draws_from_torchs_stream_as_mergekit_does(directories, tmp_path, dtype, case):
    place = directories(dtype)
    base, _, expected = sources(dtype, case)
    recipe = recipe_of(case)
    merge_models(recipe, place / "base", [place / "one", place / "two"], tmp_path / "out", chunk=37)
    made = read_model(tmp_path / "out")
    # The norms are sums over a tensor, whose last bit depends on how they are added up.
    rtol = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    for name, tensor in expected.items():
        if case == "dare_plain":
            assert torch.equal(bits(made[name]), bits(tensor)), name
        dropped = tensor == base[name]
        assert torch.equal(made[name] == base[name], dropped), name
        torch.testing.assert_close(made[name], tensor, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_slerp_is_within_its_conditioning(directories, tmp_path, dtype):
    place = directories(dtype)
    base, (one,), expected = sources(dtype, "slerp")
    merge_models(recipe_of("slerp"), place / "base", [place / "one"], tmp_path / "out", chunk=37)
    for name, tensor in read_model(tmp_path / "out").items():
        scale = torch.maximum(base[name].abs(), one[name].abs()).double()
        unit = {"float32": 2e-5, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
        off = (tensor.double() - expected[name].double()).abs()
        assert (off <= unit * scale).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["task_arithmetic", "task_arithmetic_three", "ties_all"])
def test_our_own_numerics_are_within_six_units_of_mergekits(dtype, case):
    base, models, expected = sources(dtype, case)
    recipe = recipe_of(case, preset="exact")
    if case == "ties_all":
        recipe = MergeRecipe.of(
            "ties", n_models=2, weights=(0.6, 0.5), scale=0.7, density=1.0, zero="plus"
        )
    for name, tensor in expected.items():
        each = [model[name] for model in models]
        ours = merge_tensor(METHODS[recipe.method], base[name], each, recipe).to(tensor.dtype)
        parts = [
            (weight * (model.double() - base[name].double())).abs()
            for weight, model in zip(recipe.weights, each, strict=True)
        ]
        scale = torch.stack([base[name].double().abs(), tensor.double().abs(), *parts]).amax(0)
        unit = torch.finfo(tensor.dtype).eps
        assert ((ours.double() - tensor.double()).abs() <= 6 * unit * scale).all(), name


@pytest.mark.skipif(
    importlib.util.find_spec("mergekit") is None,
    reason="mergekit 0.1.5 is not installed here: pip install mergekit==0.1.5",
)
@given(
    dtype=st.sampled_from(list(DTYPES)),
    method=st.sampled_from(["task_arithmetic", "ties"]),
    weights=st.lists(st.sampled_from([0.6, 0.5, -0.3, 1.0, 2.5]), min_size=1, max_size=7),
    normalize=st.booleans(),
    scale=st.sampled_from([1.0, 0.7]),
    seed=st.integers(0, 1000),
)
def test_live_mergekit_gives_the_same_bits(dtype, method, weights, normalize, scale, seed):
    from mergekit import merge_methods  # pyright: ignore[reportMissingImports]
    from mergekit.merge_methods.base import (  # pyright: ignore[reportMissingImports]
        TensorEntry,
        TensorGroup,
    )

    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(5, 13, generator=generator).to(DTYPES[dtype])
    models = [
        (base + torch.randn(5, 13, generator=generator).round(decimals=1)).to(base.dtype)
        for _ in weights
    ]
    entries = [TensorEntry(id=str(i), tensor=model) for i, model in enumerate(models)]
    group = TensorGroup(entries=(TensorEntry(id="base", tensor=base, is_base=True), *entries))
    named = {str(i): weight for i, weight in enumerate(weights)}
    expected = merge_methods.get(method).merge_group(
        group,
        weight=named,
        density=dict.fromkeys(named, 1.0),
        normalize=normalize,
        rescale=False,
        int8_mask=False,
        **{"lambda": scale},
    )
    recipe = MergeRecipe.of(
        method, n_models=len(weights), preset="mergekit", weights=weights, normalize=normalize,
        scale=scale,
    )  # fmt: skip
    made = merge_tensor(METHODS[recipe.method], base, models, recipe)
    assert torch.equal(bits(made), bits(expected))
