"""Random masks with matched counts, and what two masks share by chance."""

from dataclasses import replace
from fractions import Fraction
from math import comb, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from interp.abilities.masks.chance import Stratum, chance_test, log_probabilities
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.overlap import adjusted, overlap
from interp.abilities.masks.random_mask import random_like
from interp.abilities.masks.support import Support
from interp.abilities.units.unit_choice import UnitChoice
from interp.abilities.units.unit_selection import drawn_like
from interp.abilities.units.units import Layout
from interp.models.identity import ModelIdentity
from interp.results.errors import Mismatch
from interp.results.provenance import Provenance
from interp.results.significance import holm

LAYOUT = {
    "family": "llama",
    "sizes": {
        **{"n_layers": 2, "d_model": 8, "d_mlp": 40},
        **{"n_heads": 2, "n_kv_heads": 2, "d_head": 4},
    },
    "shapes": {f"model.layers.{layer}.mlp.up_proj.weight": [40, 8] for layer in range(2)},
}
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


def test_overlap_p_values_of_random_draws_are_uniform() -> None:
    layout = Layout.from_json(LAYOUT)
    chosen = np.random.default_rng(0).random(layout.grid("neuron")) < 0.3
    whole = np.ones_like(chosen)
    mask = UnitChoice(kind="neuron", layout=layout, chosen=chosen, ranked=whole, scores=None)
    rng = np.random.default_rng(1)
    values = []
    for _ in range(500):
        drawn = drawn_like(mask, rng).chosen
        assert (drawn.sum(axis=1) == chosen.sum(axis=1)).all()
        strata = [
            Stratum(40, int(a.sum()), int(b.sum()), int((a & b).sum()))
            for a, b in zip(chosen, drawn, strict=True)
        ]
        test = chance_test(strata)
        # The mid-p, smoothed by a draw within the atom, is exactly uniform under the null.
        more, less = np.exp(test.log_p_more), np.exp(test.log_p_less)
        values.append(more - rng.random() * (more + less - 1))
    assert stats.kstest(values, "uniform").pvalue > 0.01


sizes = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))
)


@given(sizes)
def test_the_law_sums_to_one_and_is_the_hypergeometric_one(size: tuple[int, int, int]) -> None:
    n, a, b = size
    law = np.exp(log_probabilities(Stratum(n, a, b, 0)))
    least, most = max(0, a + b - n), min(a, b)
    assert law.sum() == pytest.approx(1.0, rel=1e-12)
    by_hand = [comb(a, x) * comb(n - a, b - x) / comb(n, b) for x in range(least, most + 1)]
    np.testing.assert_allclose(law, by_hand, rtol=1e-11)


@given(sizes, st.randoms(use_true_random=False))
def test_one_stratum_is_fishers_exact_one_sided_test(size: tuple[int, int, int], random) -> None:
    n, a, b = size
    shared = random.randint(max(0, a + b - n), min(a, b))
    table = [[shared, a - shared], [b - shared, n - a - b + shared]]
    test = chance_test([Stratum(n, a, b, shared)])
    for log_p, side in ((test.log_p_more, "greater"), (test.log_p_less, "less")):
        fisher: Any = stats.fisher_exact(table, alternative=side)
        assert np.exp(log_p) == pytest.approx(fisher.pvalue, rel=1e-10)
    assert test.expected == pytest.approx(a * b / n)


@given(st.lists(sizes, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_strata_add_up_as_the_convolution_of_their_laws(
    several: list[tuple[int, int, int]], random
) -> None:
    strata, law = [], {0: Fraction(1)}
    for n, a, b in several:
        least, most = max(0, a + b - n), min(a, b)
        strata.append(Stratum(n, a, b, random.randint(least, most)))
        part = {
            x: Fraction(comb(a, x) * comb(n - a, b - x), comb(n, b)) for x in range(least, most + 1)
        }
        both: dict[int, Fraction] = {}
        for x, p in law.items():
            for y, q in part.items():
                both[x + y] = both.get(x + y, Fraction(0)) + p * q
        law = both
    shared = sum(s.shared for s in strata)
    test = chance_test(strata)
    more = float(sum(p for x, p in law.items() if x >= shared))
    less = float(sum(p for x, p in law.items() if x <= shared))
    assert test.exact and test.shared == shared
    assert np.exp(test.log_p_more) == pytest.approx(more, rel=1e-9)
    assert np.exp(test.log_p_less) == pytest.approx(less, rel=1e-9)
    assert np.exp(test.log_min_p) == pytest.approx(float(law[max(law)]), rel=1e-9)


@pytest.mark.parametrize(
    ("n", "k", "expected"), [(12, 2, 0.0151515), (100, 5, 1.3282e-8), (1000, 50, 1.0570e-85)]
)
def test_the_smallest_p_of_equal_masks(n: int, k: int, expected: float) -> None:
    test = chance_test([Stratum(n, k, k, k)])
    assert np.exp(test.log_min_p) == pytest.approx(expected, rel=1e-4)
    assert test.log_p_more == pytest.approx(test.log_min_p, rel=1e-12)


def test_a_test_that_cannot_succeed_says_so() -> None:
    test = chance_test([Stratum(12, 2, 2, 2)])
    assert test.can_succeed(3) and not test.can_succeed(4)
    assert not chance_test([Stratum(9, 9, 4, 4)]).can_succeed()


def test_a_p_below_the_smallest_float_is_told_from_another() -> None:
    one, two = (chance_test([Stratum(10_000, 1_000, 1_000, k)]) for k in (900, 950))
    assert np.exp(one.log_p_more) == 0.0
    assert two.log_p_more < one.log_p_more < -700
    exact = sum(comb(1000, x) * comb(9000, 1000 - x) for x in range(900, 1001))
    numerator, denominator = exact, comb(10_000, 1000)
    log_p = log(numerator >> (numerator.bit_length() - 60)) - log(
        denominator >> (denominator.bit_length() - 60)
    )
    log_p += (numerator.bit_length() - denominator.bit_length()) * log(2)
    assert one.log_p_more == pytest.approx(log_p, rel=1e-12)


def test_many_strata_are_close_to_the_normal_law() -> None:
    rng = np.random.default_rng(0)
    strata = [Stratum(200, 60, 50, int(rng.hypergeometric(60, 140, 50))) for _ in range(51)]
    many, few = chance_test(strata), [chance_test(strata[:50]), chance_test(strata[1:])]
    assert not many.exact and all(test.exact for test in few)
    parts = [stats.hypergeom(200, 60, 50)] * 51
    assert many.expected == pytest.approx(sum(part.mean() for part in parts))
    assert many.standard_deviation**2 == pytest.approx(sum(part.var() for part in parts))
    z = (many.shared - 0.5 - many.expected) / many.standard_deviation
    assert np.exp(many.log_p_more) == pytest.approx(stats.norm.sf(z))
    z = (few[0].shared - 0.5 - few[0].expected) / few[0].standard_deviation
    assert np.exp(few[0].log_p_more) == pytest.approx(stats.norm.sf(z), abs=0.005)


def test_jaccard_and_odds_ratio_of_masks_known_by_hand() -> None:
    shape, mask = (10, 10), np.zeros(100, dtype=bool)
    one, two = mask.copy(), mask.copy()
    one[:20], two[15:40] = True, True
    first, second = (
        replace(mask_with({"a": 1}), tensors={"w": Support.from_dense(m.reshape(shape))})
        for m in (one, two)
    )
    found = overlap(first, second)
    assert (found.of, found.n, found.first, found.second, found.shared) == ("entry", 100, 20, 25, 5)
    assert found.jaccard == 5 / 40
    assert found.odds_ratio == pytest.approx(5 * 60 / (15 * 20))
    assert found.plain is None
    nothing = replace(first, tensors={"w": Support.from_dense(mask.reshape(shape))})
    assert np.isnan(overlap(nothing, nothing).jaccard)
    assert overlap(first, first).odds_ratio == float("inf")
    assert overlap(first, first).to_json()["odds_ratio"] is None


def test_p_values_of_many_pairs_are_adjusted_together() -> None:
    masks = [mask_with({"a": 120}, seed=seed) for seed in range(3)]
    found = [overlap(masks[0], masks[1]), overlap(masks[0], masks[2]), overlap(masks[0], masks[0])]
    p = [np.exp(one.stratified.log_p_more) for one in found]
    assert np.exp(adjusted(found)) == pytest.approx(holm(np.array(p)), rel=1e-12)


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
