"""Masks of units: exactly a share, the entries of the chosen, kept on disk, drawn and combined."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from interp.abilities.locating.at_rest import locate_between
from interp.abilities.locating.locate import locate
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_algebra import combine
from interp.abilities.masks.overlap import overlap
from interp.abilities.masks.random_mask import random_like
from interp.abilities.streaming.topk import scores_of_arrays
from interp.abilities.units.unit_choice import UnitChoice
from interp.abilities.units.unit_scores import unit_scores
from interp.abilities.units.unit_selection import choice_of, choose_units
from interp.abilities.units.units import Layout, layout_of
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.finding import HEADER
from tests.abilities.learning import small_llama, write_examples
from tests.models import tiny_model_directory

KINDS = ("neuron", "q_head", "kv_head", "head", "layer", "tensor")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def moved(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base with noise on every weight."""
    return noisy(base, tmp_path_factory.mktemp("models") / "moved", seed=1)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("data") / "ability.jsonl", n=8)


def noisy(base: Path, out: Path, *, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    shutil.copytree(base, out)
    tensors = load_file(out / "model.safetensors")
    for name, values in tensors.items():
        tensors[name] = values + rng.normal(size=values.shape).astype(np.float32) ** 3
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


def entries_of(choice: UnitChoice) -> dict[str, np.ndarray]:
    """What `supports` holds, by setting the slabs of every chosen unit one after the other."""
    layout = choice.layout
    dense = {name: np.zeros(shape, dtype=bool) for name, shape in layout.shapes.items()}
    for unit in layout.units(choice.kind):
        row = 0 if choice.kind == "tensor" else unit.layer
        if choice.chosen[row, unit.index]:
            for name, slabs in layout.entries(unit).items():
                for slab in slabs:
                    dense[name][slab.index] = True
    return dense


@pytest.mark.parametrize("percent", [0, 1, 5, 10, 33, 50, 100])
@pytest.mark.parametrize("scores", ["random", "equal", "few values", "negative"])
def test_exactly_the_share_of_units_is_chosen(percent: int, scores: str) -> None:
    rng = np.random.default_rng(0)
    made = {
        "random": rng.random((5, 37)),
        "equal": np.ones((5, 37)),
        "few values": rng.integers(0, 3, (5, 37)).astype(float),
        "negative": -rng.random((5, 37)),
    }[scores].astype(np.float32)
    chosen = choose_units(made, share=percent / 100, scope="global")
    assert chosen.sum() == 5 * 37 * percent // 100
    if chosen.any() and not chosen.all():
        assert made[chosen].min() >= made[~chosen].max()
    each = choose_units(made, share=percent / 100, scope="tensor")
    assert (each.sum(axis=1) == 37 * percent // 100).all()
    lowest = choose_units(made, share=1 - percent / 100, scope="global", lowest=True)
    assert int(lowest.sum() + chosen.sum()) in (185, 184)


def test_ties_go_to_the_first_and_what_may_not_be_chosen_is_not() -> None:
    scores = np.array([[1.0, 2.0, 1.0], [1.0, -np.inf, np.nan]], dtype=np.float32)
    assert np.flatnonzero(choose_units(scores, share=0.6, scope="global")).tolist() == [0, 1, 2]
    everything = choose_units(scores, share=1.0, scope="global")
    assert np.flatnonzero(everything).tolist() == [0, 1, 2, 3]
    lowest = choose_units(scores, share=0.4, scope="global", lowest=True)
    assert np.flatnonzero(lowest).tolist() == [3, 4]
    with pytest.raises(BadInput, match="infinite"):
        choose_units(np.array([[np.inf]]), share=0.5, scope="global")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", ["gpt2", "neox", "qwen2", "phi3"])
def test_a_masks_entries_are_those_of_its_units(style: str, kind: str, tmp_path: Path) -> None:
    layout = layout_of(tiny_model_directory(style, tmp_path / "m", tokenizer=False))
    scores = random_scores(layout, kind)
    choice = choice_of(layout, kind, scores, share=0.4, scope="global", kv="any")
    supports = choice.supports()
    assert set(supports) == set(layout.tensors_of(kind))
    for name, dense in entries_of(choice).items():
        found = supports[name].dense() if name in supports else np.zeros_like(dense)
        assert np.array_equal(found, dense), name
    assert sum(choice.sizes().values()) == sum(s.count for s in supports.values())


def random_scores(layout: Layout, kind: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(layout.grid(kind)).astype(np.float32)


def test_shared_keys_come_with_all_heads_of_their_group_or_with_any(base: Path) -> None:
    layout = layout_of(base)
    assert layout.sizes.heads_per_group == 2
    scores = np.zeros(layout.grid("head"), dtype=np.float32)
    scores[0, [0, 1, 2]] = 3, 2, 1
    sizes, shared = {}, {}
    for kv in ("strict", "any"):
        choice = choice_of(layout, "head", scores, share=3 / 8, scope="global", kv=kv)
        sizes[kv], shared[kv] = choice.sizes(), choice.shared_keys()
    each = layout.size(layout.units("kv_head")[0])
    assert shared["strict"].tolist() == [[True, False], [False, False]]
    assert shared["any"].tolist() == [[True, True], [False, False]]
    query = 3 * layout.size(layout.units("q_head")[0])
    assert sizes["strict"] == {"q_head": query, "kv_head": each}
    assert sizes["any"] == {"q_head": query, "kv_head": 2 * each}


@pytest.mark.parametrize("kind", KINDS)
def test_levels_between_directories_are_those_of_the_whole_change(
    kind: str, base: Path, moved: Path
) -> None:
    mask = locate_between(base, moved, share=0.3, level=kind)
    before, after = (load_file(d / "model.safetensors") for d in (base, moved))
    change = {name: np.abs(after[name] - before[name]) for name in before}
    layout = layout_of(base)
    names = layout.tensors_of(kind)
    if kind == "tensor":
        names = tuple(n for n in names if n in layout.segments)
    scores = unit_scores(layout, kind, names, scores_of_arrays(change), how="mean")
    units = mask.units
    assert units is not None and units.scores is not None and mask.level == kind
    assert np.array_equal(units.scores, scores, equal_nan=True)
    assert units.count == int(0.3 * np.isfinite(scores).sum() + 1e-9)
    assert mask.threshold == (float(scores[units.chosen].min()) if units.count else None)
    for name, dense in entries_of(units).items():
        held = mask.dense(name) if name in mask.tensors else np.zeros_like(dense)
        assert np.array_equal(held, dense)


def test_norms_and_tables_are_not_among_tensors_unless_asked_for(base: Path, moved: Path) -> None:
    layout = layout_of(base)
    mask = locate_between(base, moved, share=0.5, level="tensor")
    assert set(mask.tensors) == set(layout.segments)
    assert mask.units is not None and mask.units.n == len(layout.segments)
    whole = locate_between(base, moved, share=0.5, level="tensor", rank_embeddings=True)
    assert set(whole.tensors) == set(layout.shapes)
    layers = locate_between(base, moved, share=0.5, level="layer")
    assert "model.layers.0.input_layernorm.weight" in layers.tensors


def test_what_general_data_move_too_is_taken_off(base: Path, moved: Path, tmp_path: Path) -> None:
    mask = locate_between(base, moved, share=0.3, level="neuron", general=moved)
    assert mask.units is not None and mask.units.scores is not None
    assert (mask.units.scores == 0).all()
    assert mask.recipe["locator"] == "contrast"
    other = noisy(base, tmp_path / "other", seed=2)
    one = locate_between(base, moved, share=0.3, general=other)
    before, ability, general = (load_file(d / "model.safetensors") for d in (base, moved, other))
    name = "model.layers.1.mlp.up_proj.weight"
    excess = np.abs(ability[name] - before[name]) - np.abs(general[name] - before[name])
    chosen = one.dense(name)
    assert excess[chosen].min() >= np.maximum(excess[~chosen], 0).max()


def test_a_mask_of_units_is_read_as_it_was_written(base: Path, moved: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        mask = locate_between(base, moved, share=0.4, level=kind)
        read = NeuronMask.load(mask.save(tmp_path / kind))
        assert mask.units is not None and read.units is not None
        assert read.units.header() == mask.units.header()
        for name, array in mask.units.arrays().items():
            assert np.array_equal(read.units.arrays()[name], array, equal_nan=True)
            assert array.dtype == (np.int32 if name.startswith("units.") else np.float32)
        assert read.recipe == mask.recipe
        assert read.units.said() in mask._repr_html_()


def test_a_mask_without_units_opens_as_before(base: Path, moved: Path, tmp_path: Path) -> None:
    path = locate_between(base, moved, share=0.1).save(tmp_path / "mask")
    assert "units" not in json.loads((path / HEADER).read_text())
    assert NeuronMask.load(path).units is None


@pytest.mark.parametrize(
    ("garbled", "message"),
    [
        ({"count": 3}, "holds 7 units, not 3"),
        ({"shape": [2, 25]}, r"has \(2, 25\) units"),
        ({"kind": "q_head"}, "units 'q_head'"),
        ({"unranked": [4000]}, "lacks or garbles"),
        ({"layout": {}}, "lacks or garbles"),
    ],
)
def test_a_header_that_lies_about_its_units_is_refused(
    garbled: dict, message: str, base: Path, moved: Path, tmp_path: Path
) -> None:
    path = locate_between(base, moved, share=0.15, level="neuron").save(tmp_path / "mask")
    header = json.loads((path / HEADER).read_text())
    header["units"] |= garbled
    (path / HEADER).write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match=message):
        NeuronMask.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_random_units_are_as_many_in_every_layer_or_of_every_type(
    kind: str, base: Path, moved: Path
) -> None:
    mask = locate_between(base, moved, share=0.4, level=kind)
    draws = [random_like(mask, seed=seed) for seed in range(4)]
    assert mask.units is not None
    for drawn in draws:
        assert drawn.units is not None and drawn.units.scores is None
        assert drawn.units.by_layer() == mask.units.by_layer()
        assert drawn.level == kind and drawn.recipe["like"] == mask.recipe
        assert sum(drawn.units.sizes().values()) == drawn.count
        if kind != "head":  # shared keys come with whole groups
            assert drawn.count == mask.count
    again = random_like(mask, seed=0)
    assert again.units is not None and draws[0].units is not None
    assert np.array_equal(again.units.chosen, draws[0].units.chosen)
    if mask.units.count > 1:
        assert any(not np.array_equal(d.units.chosen, again.units.chosen) for d in draws if d.units)


def test_random_units_are_uniform_at_every_level(base: Path, examples: Path) -> None:
    one, again = (
        locate(base, examples, locator="random", level="neuron", share=0.25) for _ in range(2)
    )
    assert one.units is not None and again.units is not None
    assert one.units.count == 12
    assert np.array_equal(one.units.chosen, again.units.chosen)
    assert one.units.scores is not None and one.units.scores.std() > 0.2


def test_the_size_of_weights_ranks_units_by_the_mean_over_their_bundle(
    base: Path, examples: Path
) -> None:
    weights = load_file(base / "model.safetensors")
    by_hand = [
        np.concatenate(
            [np.abs(weights[f"model.layers.{layer}.mlp.down_proj.weight"])]
            + [np.abs(weights[f"model.layers.{layer}.mlp.{name}.weight"]).T
               for name in ("gate_proj", "up_proj")]
        ).mean(axis=0)
        for layer in range(2)
    ]  # fmt: skip
    mask = locate(base, examples, locator="magnitude", level="neuron", share=0.25)
    assert mask.units is not None and mask.units.scores is not None
    np.testing.assert_allclose(mask.units.scores, by_hand, rtol=1e-5)
    highest = np.argsort(-np.concatenate(by_hand), kind="stable")[:12]
    assert set(np.flatnonzero(mask.units.chosen)) == set(highest)
    shared = mask.recipe["report"]["overlap_with_magnitude"]
    assert shared["of"] == "neuron" and shared["shared"] == 12
    assert mask.recipe["entries"] == {"neuron": mask.count}


def test_a_rule_of_entries_has_no_units(base: Path, examples: Path) -> None:
    with pytest.raises(BadInput, match="'allo_released' chooses entries"):
        locate(base, examples, locator="allo_released", level="neuron")
    with pytest.raises(BadInput, match="nothing to choose"):
        locate(base, examples, locator="magnitude", level="layer", scope="tensor")


@pytest.mark.parametrize("level", ["entry", "neuron", "head", "tensor"])
def test_masks_combine_as_sets_of_entries(
    level: str, base: Path, moved: Path, tmp_path: Path
) -> None:
    first = locate_between(base, moved, share=0.4, level=level)
    second = locate_between(
        base, noisy(base, tmp_path / "other", seed=2), share=0.5, level=level, rank_embeddings=True
    )
    rules = {"union": np.logical_or, "intersection": np.logical_and,
             "difference": lambda one, two: one & ~two}  # fmt: skip
    for operation, rule in rules.items():
        found = combine(first, second, operation)  # type: ignore[arg-type]
        assert (found.units is not None) == (level in ("neuron", "tensor"))
        for name, support in {**first.tensors, **second.tensors}.items():
            one, two = (
                m.dense(name) if name in m.tensors else np.zeros(support.shape, dtype=bool)
                for m in (first, second)
            )
            assert np.array_equal(found.dense(name), rule(one, two)), (operation, name)
        assert found.recipe["first"] == first.recipe
        read = NeuronMask.load(found.save(tmp_path / operation))
        assert read.count == found.count and read.level == found.level


def test_without_its_language_units_a_mask_shares_none_with_them(base: Path, moved: Path) -> None:
    ability = locate_between(base, moved, share=0.4, level="neuron")
    language = random_like(ability, seed=0)
    rest = combine(ability, language, "difference")
    assert overlap(rest, language).shared == 0
    assert rest.units is not None and ability.units is not None
    assert rest.units.count == ability.units.count - overlap(ability, language).shared


def test_masks_of_two_models_do_not_combine(base: Path, moved: Path) -> None:
    mask = locate_between(base, moved, share=0.4, level="neuron")
    other = replace(mask, base=replace(mask.base, root="other"))
    with pytest.raises(Mismatch, match="do not combine"):
        combine(mask, other, "union")
