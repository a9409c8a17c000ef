"""Sweeps: equal numbers of settings, nested grids, one rule that chooses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.abilities.comparing.ablations import Materials, Trained, maet_methods
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant, addition, transfer
from interp.abilities.comparing.parts import Part, less, parts_between
from interp.abilities.comparing.sweep import Method, Variant, best, scale_grid, sweep
from interp.abilities.comparing.tuning import Measured
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer as write_transfer
from interp.models.identity import model_identity
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance
from tests.abilities.checkpoints import near, random_tensors, read_model, write_model

NAMES = {
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
    "model.layers.0.mlp.up_proj.weight": (6, 4),
    "model.layers.1.mlp.up_proj.weight": (6, 4),
    "model.norm.weight": (4,),
}


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in NAMES.items()}


def materials(n_settings: int = 160) -> Materials:
    base = weights(0)
    twins = [
        Trained(
            ability=parts_between(base, weights(2 * n + 1)),
            control=parts_between(base, weights(2 * n + 2)),
            label=str(n),
        )
        for n in range(2)
    ]
    return Materials(
        base=base,
        language=weights(9),
        located=twins[:1],
        random=twins[:1],
        everywhere=twins,
        n_settings=n_settings,
    )


@pytest.mark.parametrize("n", [1, 5, 10, 20, 40, 80, 160, 320])
def test_a_grid_has_exactly_as_many_pairs_as_asked_and_holds_one_and_one(n: int) -> None:
    grid = scale_grid(n)
    assert len(set(grid)) == n
    assert Scales(1.0, 1.0) in grid


def test_without_a_language_only_gamma_varies() -> None:
    grid = scale_grid(10, language=False)
    assert len(set(grid)) == 10
    assert {scales.eta for scales in grid} == {0.0}


def test_a_number_that_makes_no_grid_is_refused() -> None:
    with pytest.raises(BadInput, match="do not make a grid"):
        scale_grid(23 * 29)


def test_every_row_of_the_ablations_is_tried_over_as_many_settings() -> None:
    methods = maet_methods(materials())
    assert {method.n_settings for method in methods} == {160}
    keys = [method.key for method in methods]
    assert len(set(keys)) == len(keys)
    assert {"only_q", "only_up", "only_norm"} <= set(keys)


def test_settings_that_do_not_divide_are_refused() -> None:
    with pytest.raises(BadInput, match="give a multiple"):
        maet_methods(materials(n_settings=100))


def test_the_plain_rows_are_the_formulas_they_are_named_for() -> None:
    m = materials()
    rows = {method.key: method for method in maet_methods(m)}
    ability, control = weights(1), weights(2)
    for name in NAMES:
        added = rows["plain_addition"].variants[0].contestant.tensor(name, Scales(0.5, 2.0))
        expected = m.base[name] + 0.5 * (ability[name] - m.base[name])
        expected += 2.0 * (m.language[name] - m.base[name])
        torch.testing.assert_close(added, expected)
        analogy = rows["plain_analogy"].variants[0].contestant.tensor(name, Scales(1.0, 1.0))
        torch.testing.assert_close(analogy, ability[name] - control[name] + m.language[name])


def test_a_tensor_whose_ability_weights_are_0_is_in_no_share_of_tensors(tmp_path: Path) -> None:
    base = random_tensors(0)
    ability = near(base, 1)
    # All cosines are below 0, which is what a tensor without one counts as.
    language = near({name: 2 * base[name] - ability[name] for name in base}, 2)
    ability["model.layers.0.norm.weight"] = base["model.layers.0.norm.weight"]
    place = {
        name: write_model(tmp_path / name, tensors)
        for name, tensors in {"base": base, "ability": ability, "language": language}.items()
    }
    mask = NeuronMask.from_dense(
        {
            name: np.arange(tensor.numel()).reshape(tensor.shape) % 3 > 0
            for name, tensor in base.items()
        },
        level="entry",
        recipe={},
        base=model_identity(place["base"]),
        provenance=Provenance.collect("t", model_hash=None, corpus_hash=None, seed=0, settings={}),
    )
    found = extract(place["base"], place["ability"], tmp_path / "weights", mask=mask)
    written = write_transfer(
        place["base"], found, tmp_path / "merged", language=place["language"], k2=0.6
    )
    assert len(written.selected[0]) == 3
    parts = parts_between(base, ability, mask=mask)
    swept = transfer("", "", base=base, parts=parts, language=language, k2=0.6)
    for name, tensor in read_model(tmp_path / "merged").items():
        assert torch.equal(swept.tensor(name, Scales(1.0, 1.0)), tensor), name


def test_one_role_alone_leaves_all_other_tensors_to_the_language() -> None:
    m = materials()
    row = next(method for method in maet_methods(m) if method.key == "only_q")
    for name in NAMES:
        merged = row.variants[0].contestant.tensor(name, Scales(1.0, 1.0))
        alone = torch.allclose(merged, m.language[name], atol=1e-6)
        assert alone == ("q_proj" not in name)


def test_the_same_setting_is_chosen_as_by_looking_at_all() -> None:
    base = weights(0)
    made = addition("a", "a", base=base, parts={}, language=None)
    method = Method(
        key="a",
        title="a",
        variants=(
            Variant(contestant=made, scales=scale_grid(10), settings={"which": 0}),
            Variant(contestant=made, scales=scale_grid(20), settings={"which": 1}),
        ),
    )
    generator = torch.Generator().manual_seed(5)

    def measure(_contestant: Contestant, _scales: Scales) -> Measured:
        ability, general = torch.rand(2, generator=generator).tolist()
        return Measured(ability, general)

    tried = sweep(method, measure)
    assert len(tried) == method.n_settings == 30
    one, kept = best(tried, floor=0.5)
    assert kept
    allowed = [t.measured.ability for t in tried if t.measured.general >= 0.5]
    assert one.measured.ability == max(allowed)
    most, none = best(tried, floor=2.0)
    assert not none
    assert most.measured.general == max(t.measured.general for t in tried)
    assert "which" in one.settings
    assert "gamma" in one.settings


def test_subtracting_the_control_needs_the_same_entries() -> None:
    here = {"t": Part(torch.tensor([0, 2]), torch.tensor([1.0, 2.0]))}
    there = {"t": Part(torch.tensor([0, 3]), torch.tensor([1.0, 2.0]))}
    with pytest.raises(Mismatch, match="other entries in 't'"):
        less(here, there, beta=0.5)
    same = less(here, here, alpha=2.0, beta=0.5)
    assert same["t"].delta.tolist() == [1.5, 3.0]
    assert less(here, there, beta=0.0)["t"].delta.tolist() == [1.0, 2.0]
