"""Random masks with matched counts, and what two masks share by chance."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from interp.abilities.mask import NeuronMask
from interp.abilities.overlap import overlap
from interp.abilities.random_mask import random_like
from interp.models.identity import ModelIdentity
from interp.results.errors import Mismatch
from interp.results.provenance import Provenance

SHAPES = {"a": (30, 20), "b": (50,), "c": (8, 8)}


def mask_with(counts: dict[str, int], *, root: str = "r", seed: int = 0) -> NeuronMask:
    rng = np.random.default_rng(seed)
    masks = {}
    for name, count in counts.items():
        flat = np.zeros(int(np.prod(SHAPES[name])), dtype=bool)
        flat[rng.choice(flat.size, size=count, replace=False)] = True
        masks[name] = flat.reshape(SHAPES[name])
    base = ModelIdentity(
        root=root, tensors={}, n=714, dtype="F32", config_digest="", tokenizer_digest=None, tied=()
    )
    provenance = Provenance.collect("t", model_hash=None, corpus_hash=None, seed=0, settings={})
    return NeuronMask.from_dense(
        masks, level="entry", recipe={"locator": "t"}, base=base, provenance=provenance
    )


COUNTS = {"a": 120, "b": 7, "c": 0}


def test_a_random_mask_has_as_many_entries_in_every_tensor() -> None:
    mask = mask_with(COUNTS)
    drawn = random_like(mask, seed=3)
    assert drawn.counts_by_tensor() == COUNTS
    assert drawn.recipe["like"] == {"locator": "t"}
    assert not np.array_equal(drawn.dense("a"), mask.dense("a"))


def test_the_same_seed_draws_the_same_entries(tmp_path: Path) -> None:
    mask = mask_with(COUNTS)
    one, again, other = (random_like(mask, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.dense("a"), again.dense("a"))
    assert not np.array_equal(one.dense("a"), other.dense("a"))
    assert np.array_equal(NeuronMask.load(one.save(tmp_path / "m")).dense("a"), one.dense("a"))


def test_overlap_p_values_of_random_masks_are_uniform() -> None:
    mask = mask_with({"a": 120})
    rng = np.random.default_rng(0)
    values = []
    for seed in range(500):
        shared = overlap(mask, random_like(mask, seed=seed)).shared
        # The mid-p, smoothed by a draw within the atom, is exactly uniform under the null.
        above = stats.hypergeom.sf(shared, 600, 120, 120)
        at = stats.hypergeom.pmf(shared, 600, 120, 120)
        values.append(above + rng.random() * at)
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_expectation_and_spread_are_the_hypergeometric_ones() -> None:
    one, other = mask_with(COUNTS), mask_with({"a": 60, "b": 20, "c": 5}, seed=1)
    found = overlap(one, other)
    parts = [stats.hypergeom(600, 120, 60), stats.hypergeom(50, 7, 20)]
    assert found.expected == pytest.approx(sum(part.mean() for part in parts))
    assert found.standard_deviation**2 == pytest.approx(sum(part.var() for part in parts))
    assert found.shared == sum(int((one.dense(n) & other.dense(n)).sum()) for n in COUNTS)


def test_a_mask_shares_all_of_itself() -> None:
    mask = mask_with(COUNTS)
    assert overlap(mask, mask).share_of_smaller == 1.0


def test_an_empty_mask_shares_an_undefined_part() -> None:
    empty = mask_with({"a": 0})
    assert np.isnan(overlap(empty, mask_with(COUNTS)).share_of_smaller)
    assert overlap(empty, empty).to_json()["share_of_smaller"] is None


def test_masks_of_different_models_do_not_compare() -> None:
    with pytest.raises(Mismatch, match="different models"):
        overlap(mask_with(COUNTS), mask_with(COUNTS, root="other"))
