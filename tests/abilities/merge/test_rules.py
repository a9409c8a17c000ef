"""The rules of merging, on tensors whose answer can be worked out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.merge import MergeRecipe, PresetName
from interp.abilities.merge.dare import dare_tensor, kept_entries
from interp.abilities.merge.method import in_memory, merge_tensor
from interp.abilities.merge.methods import METHODS
from interp.abilities.merge.ranks import ranked
from interp.abilities.merge.rounding import rounded_differences
from interp.abilities.merge.slerp import COLINEAR, arc, slerp_tensor
from interp.abilities.merge.ties import ties_tensor
from interp.results.errors import BadInput, CorruptFile

FORMATS = [torch.float32, torch.float16, torch.bfloat16]
EVERY = ["task_arithmetic", "ties", "dare_linear", "dare_ties", "linear", "slerp"]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def merged(method, base, models, *, preset: PresetName = "exact", **settings):
    recipe = MergeRecipe.of(method, n_models=len(models), preset=preset, **settings)
    return merge_tensor(METHODS[recipe.method], base, models, recipe)


def bits(tensor):
    return tensor.view(torch.int32).tolist()


def test_the_papers_example_of_ties():
    base = torch.zeros(4)
    one, two = torch.tensor([3.0, -1.0, 0.0, 2.0]), torch.tensor([1.0, -2.0, 4.0, -2.0])
    presets: tuple[PresetName, ...] = ("paper", "mergekit")
    for preset in presets:
        made = merged("ties", base, [one, two], preset=preset, density=1.0)
        assert made.tolist() == [2.0, -1.5, 4.0, 2.0]
    assert merged("ties", base, [one, two], density=1.0).tolist() == [2.0, -1.5, 4.0, 0.0]


@pytest.mark.parametrize("preset", ["exact", "mergekit", "paper"])
def test_two_equal_models_are_the_base_and_the_trimmed_difference(preset):
    base, step = torch.zeros(50), normal(50)
    made = merged("ties", base, [step, step], preset=preset, density=0.2)
    kept = 11 if preset == "paper" else 10
    expected = torch.zeros(50)
    largest = step.abs().topk(kept).indices
    expected[largest] = step[largest]
    assert torch.equal(made, expected)


def test_opposite_models_cancel_by_the_rule_of_each_preset():
    base, step = torch.zeros(50), normal(50)
    both = [step, -step]
    assert torch.equal(merged("ties", base, both, density=1.0), base)
    assert torch.equal(merged("ties", base, both, preset="paper", density=1.0), -step.abs())
    assert torch.equal(merged("ties", base, both, preset="mergekit", density=1.0), step.abs())


def test_the_majority_is_that_of_all_entries():
    base = torch.zeros(5)
    for sign in (1.0, -1.0):
        one = torch.tensor([2.0, sign, sign, sign, 3.0])
        two = torch.tensor([-2.0, sign, sign, sign, -3.0])
        made = merged("ties", base, [one, two], preset="paper", density=1.0)
        assert made.tolist() == [2.0 * sign, sign, sign, sign, 3.0 * sign]


@pytest.mark.parametrize("settings", [{"preset": "paper"}, {"zero": "majority"}])
def test_a_majority_that_cancels_gives_dare_no_sign(settings):
    base, step = torch.zeros(50), normal(50)
    made = merged("dare_ties", base, [step, -step], density=1.0, **settings)
    assert torch.equal(made, base)


def test_dares_majority_is_that_of_all_entries():
    base = torch.zeros(5)
    for sign in (1.0, -1.0):
        one = torch.tensor([2.0, sign, sign, sign, 3.0])
        two = torch.tensor([-2.0, sign, sign, sign, -3.0])
        made = merged("dare_ties", base, [one, two], preset="paper", density=1.0)
        assert made.tolist() == [2.0 * sign, *[2.0 * sign] * 3, 3.0 * sign]


def ties_by_the_book(base, models, weights, density):
    """The same rule, written with sorts and loops over entries."""
    trimmed = []
    for model in models:
        difference = (model - base).flatten().tolist()
        k = max(1, int(density * len(difference)))
        order = sorted(range(len(difference)), key=lambda i: (-abs(difference[i]), i))
        trimmed.append([d if i in order[:k] else 0.0 for i, d in enumerate(difference)])
    made = []
    for i, start in enumerate(base.flatten().tolist()):
        parts = [w * t[i] for w, t in zip(weights, trimmed, strict=True)]
        total = math.fsum(parts)
        agree = [(p, w) for p, w in zip(parts, weights, strict=True) if p * total > 0]
        mean = math.fsum(p for p, _ in agree) / sum(w for _, w in agree) if agree else 0.0
        made.append(start + mean)
    return torch.tensor(made, dtype=torch.float64).reshape(base.shape)


@given(
    seed=st.integers(0, 10_000),
    n_models=st.integers(1, 4),
    density=st.sampled_from([0.05, 0.2, 0.5, 0.99]),
    rounded=st.booleans(),
)
def test_ties_is_the_rule_written_out(seed, n_models, density, rounded):
    base = normal(7, 6, seed=seed).double()
    steps = [normal(7, 6, seed=seed + i + 1).double() for i in range(n_models)]
    # Steps of one decimal are often equal in size: then the first is kept.
    models = [base + (step.round(decimals=1) if rounded else step) for step in steps]
    if rounded:
        base = base.round(decimals=1)
        models = [(base + step.round(decimals=1)) for step in steps]
    weights = [0.6, 0.5, 1.3, 0.2][:n_models]
    made = merged("ties", base, models, weights=weights, density=density)
    expected = ties_by_the_book(base, models, weights, density)
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([*FORMATS, torch.float64]),
    place=st.integers(1, 60),
    decimals=st.sampled_from([0, 1, 6]),
)
def test_the_rank_is_that_of_a_sort(seed, dtype, place, decimals):
    numbers = normal(60, seed=seed).round(decimals=decimals).to(dtype)
    whole = in_memory(torch.zeros(60, dtype=dtype), [numbers])
    (rank,) = ranked(whole, rounded_differences, [place])
    size = numbers.abs().sort(descending=True).values[place - 1]
    assert rank.n_above == int((numbers.abs() > size).sum())
    assert rank.n_equal == int((numbers.abs() == size).sum())
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[numbers.itemsize]
    assert rank.bits == int(size.reshape(1).view(integer))


@pytest.mark.parametrize("density", [0.0, 0.1, 1 / 3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_count_of_kept_entries_is_exact_however_many_are_equal(dtype, density):
    base = torch.zeros(30, dtype=dtype)
    for model in (torch.ones_like(base), torch.arange(30).remainder(3).add(1).to(dtype)):
        presets: tuple[PresetName, ...] = ("exact", "mergekit")
        for preset in presets:
            made = merged("ties", base, [model], preset=preset, density=density)
            assert int((made != 0).sum()) == (max(1, int(density * 30)) if density else 0)
    first = merged("ties", base, [torch.ones_like(base)], density=0.1)
    assert first.tolist() == [1.0] * 3 + [0.0] * 27


def test_the_comparators_ties_is_the_papers_mean_times_lambda():
    base, one, two = normal(40), normal(40, seed=1), normal(40, seed=2)
    by_weights = ties_tensor(base, [one, two], [0.7, 0.7], 0.3)
    by_lambda = ties_tensor(base, [one, two], [1.0, 1.0], 0.3, scale=0.7)
    torch.testing.assert_close(by_weights, by_lambda)
    recipe = merged("ties", base, [one, two], density=0.3, scale=0.7)
    torch.testing.assert_close(by_lambda, recipe)
    weighted = ties_tensor(base, [one, two], [0.6, 0.5], 0.3, by_weight=True)
    assert torch.equal(weighted, merged("ties", base, [one, two], weights=[0.6, 0.5], density=0.3))


def test_dare_keeps_the_mean_over_many_draws():
    n, density, model = 10_000, 0.3, normal(1000)
    drawn = dare_tensor("dare_linear", torch.zeros(n, 1000), [model.repeat(n, 1)], [1.0], density)
    mean = drawn.mean(dim=0, dtype=torch.float64)
    error = model.double().abs() * math.sqrt((1 / density - 1) / n)
    off = (mean - model.double()).abs() / error
    assert float(off.max()) < 5
    assert float((off < 4).double().mean()) > 0.998


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_keeps_the_l1_norm_when_asked_to(method):
    base, model = torch.zeros(1000), normal(1000)
    made = merged(method, base, [model], density=0.1, rescale="l1")
    assert float(made.double().abs().sum()) == pytest.approx(float(model.double().abs().sum()))
    dropped = int((made == 0).sum())
    assert 850 < dropped < 950
    plain = merged(method, base, [model], density=0.1, rescale="none")
    assert torch.equal(plain != 0, made != 0)
    assert torch.equal(plain[plain != 0], model[plain != 0])


@given(
    start=st.integers(0, 100),
    n=st.integers(1, 50),
    seed=st.integers(0, 5),
    density=st.sampled_from([0.0, 0.25, 0.9]),
)
def test_what_is_dropped_depends_on_the_place_alone(start, n, seed, density):
    settings = {"seed": seed, "name": "w", "model": 1, "density": density}
    whole = kept_entries(start=0, n=150, **settings)
    assert torch.equal(kept_entries(start=start, n=n, **settings), whole[start : start + n])


def test_two_models_and_two_tensors_lose_different_entries():
    common = {"seed": 0, "start": 0, "n": 4000, "density": 0.5}
    kept = [
        kept_entries(name=name, model=model, **common)
        for name, model in (("a", 0), ("a", 1), ("b", 0))
    ]
    for i, one in enumerate(kept):
        assert float(one.float().mean()) == pytest.approx(0.5, abs=0.04)
        for other in kept[:i]:
            assert float((one == other).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_slerp_ends_at_its_ends():
    base, model = normal(300), normal(300, seed=1)
    assert bits(slerp_tensor(base, model, 0.0)) == bits(base)
    torch.testing.assert_close(slerp_tensor(base, model, 1.0), model, rtol=0, atol=1e-6)


def test_halfway_between_right_angles_both_weigh_root_half():
    base, model = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 3.0])
    made = slerp_tensor(base, model, 0.5)
    torch.testing.assert_close(made, torch.tensor([2.0, 3.0]) * math.sqrt(0.5))


@pytest.mark.parametrize("factor", [1.0, 2.5, -1.0, -0.5])
def test_colinear_and_antipodal_tensors_are_joined_by_a_line(factor):
    base = normal(100)
    made = slerp_tensor(base, factor * base, 0.3)
    torch.testing.assert_close(made, (0.7 + 0.3 * factor) * base, rtol=1e-6, atol=1e-6)


def test_a_tensor_of_zeros_is_left_by_a_line():
    model = normal(10)
    torch.testing.assert_close(slerp_tensor(torch.zeros(10), model, 0.25), 0.25 * model)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_line_begins_right_above_the_boundary(sign):
    above = arc(0.3, dot=sign * (COLINEAR + 1e-6), base_norm=1.0, model_norm=1.0)
    below = arc(0.3, dot=sign * (COLINEAR - 1e-6), base_norm=1.0, model_norm=1.0)
    assert above.straight and (above.base, above.model) == (0.7, 0.3)
    assert not below.straight
    angle = math.acos(sign * (COLINEAR - 1e-6))
    assert below.base == pytest.approx(math.sin(0.7 * angle) / math.sin(angle), abs=1e-6)
    assert below.model == pytest.approx(math.sin(0.3 * angle) / math.sin(angle), abs=1e-6)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "linear"])
def test_sums_are_those_of_float64_rounded_once(method, dtype):
    base = normal(20_000).mul(0.1).to(dtype)
    models = [(base + 0.02 * normal(20_000, seed=i)).to(dtype) for i in (1, 2)]
    # A sum that is 0 in one precision has a sign in another: TIES gets weights that are exact.
    weights = [0.5, 0.25] if method == "ties" else [0.6, 0.5]
    made = merged(method, base, models, weights=weights, density=1.0)
    wide = [tensor.double() for tensor in (base, *models)]
    reference = merged(method, wide[0], wide[1:], weights=weights, density=1.0)
    unit = torch.finfo(dtype).eps
    scale = torch.maximum(base.double().abs(), reference.abs())
    if dtype == torch.float32:
        scale = torch.stack([scale, *((one - wide[0]).abs() for one in wide[1:])]).amax(0)
    off = (made.to(dtype).double() - reference).abs()
    # Half a unit of the last place is rounding alone; float32 sums are in float32.
    units = 2.0 if dtype == torch.float32 else 0.51
    assert (off <= units * unit * scale + torch.finfo(dtype).smallest_normal).all()
    if dtype != torch.float32:
        assert float((made.to(dtype) != reference.to(dtype)).double().mean()) < 1e-3


@pytest.mark.parametrize("method", EVERY)
def test_models_that_are_the_base_leave_its_bits(method):
    base = normal(40)
    base[:2] = torch.tensor([0.0, -0.0])
    n_models = 1 if method == "slerp" else 2
    made = merged(method, base, [base] * n_models, t=0.4)
    assert bits(made) == bits(base)


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_linear", "dare_ties"])
@pytest.mark.parametrize("weights, scale", [([0.0, 0.0], 1.0), ([0.6, -0.5], 0.0)])
def test_scales_of_zero_leave_the_bases_bits(method, weights, scale):
    base = normal(40)
    base[:2] = torch.tensor([0.0, -0.0])
    models = [normal(40, seed=1), normal(40, seed=2)]
    assert bits(merged(method, base, models, weights=weights, scale=scale)) == bits(base)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("preset", ["exact", "mergekit", "paper"])
def test_a_method_does_not_edit_its_inputs(method, preset):
    tensors = [normal(30, seed=i) for i in range(2 if method == "slerp" else 3)]
    before = [tensor.clone() for tensor in tensors]
    merged(method, tensors[0], tensors[1:], preset=preset, weights=None, density=0.4, t=0.5)
    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))


@pytest.mark.parametrize("method", EVERY)
def test_a_tensor_without_entries_stays_one(method):
    empty = torch.zeros(0, 3)
    made = merged(method, empty, [empty] * (1 if method == "slerp" else 2), t=0.5)
    assert made.shape == (0, 3)


def test_the_mean_of_the_models_leaves_the_base_out():
    base, one, two = normal(9), normal(9, seed=1), normal(9, seed=2)
    small = torch.full((9,), 2.0**-30)
    assert torch.equal(merged("linear", torch.ones(9), [small, small]), small)
    made = merged("linear", base, [one, two], weights=[1.0, 3.0])
    torch.testing.assert_close(made, 0.25 * one + 0.75 * two)
    summed = merged("linear", base, [one, two], weights=[1.0, 3.0], normalize=False)
    torch.testing.assert_close(summed, one + 3.0 * two)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_has_no_rank(value):
    model = torch.ones(5)
    model[3] = value
    with pytest.raises(CorruptFile, match="model 1 is .* at entry 3"):
        merged("ties", torch.zeros(5), [model], density=0.5)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"weights": [1.0]}, "1 weights for 2 models"),
        ({"weights": [1.0, math.nan]}, "a weight is nan"),
        ({"scale": math.inf}, "lambda is inf"),
        ({"density": 1.5}, "density is 1.5"),
        ({"density": [0.1, 0.2, 0.3]}, "3 densities for 2 models"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(BadInput, match=words):
        MergeRecipe.of("ties", n_models=2, **settings)


def test_what_a_method_needs_is_asked_for():
    with pytest.raises(BadInput, match="slerp needs t"):
        MergeRecipe.of("slerp", n_models=1)
    with pytest.raises(BadInput, match="one model, and 2"):
        MergeRecipe.of("slerp", n_models=2, t=0.5)
    with pytest.raises(BadInput, match="add up to 0"):
        MergeRecipe.of("linear", n_models=2, weights=[1.0, -1.0])


def test_a_recipe_is_json():
    recipe = MergeRecipe.of("ties", n_models=2, weights=[0.6, 0.5])
    assert recipe.to_json()["weights"] == [0.6, 0.5]
    assert np.isclose(recipe.density, 0.2).all()
