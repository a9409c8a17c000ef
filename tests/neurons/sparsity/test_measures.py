"""Measures of one row, rules and thresholds, on rows whose answer can be worked out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.neurons.sparsity.activity import active_neurons
from interp.neurons.sparsity.cett import find_threshold
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.token_measures import (
    effective_count,
    hoyer,
    kept_largest,
    neurons_needed,
    output_left_out,
    ranked,
)
from interp.results.errors import BadInput


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_single_neuron_is_sparsest_and_equal_neurons_are_densest() -> None:
    rows = torch.stack([torch.eye(16)[3] * -2.0, torch.full((16,), 0.7), torch.zeros(16)])
    torch.testing.assert_close(effective_count(rows)[:2], torch.tensor([1.0, 16.0]).double())
    torch.testing.assert_close(hoyer(rows)[:2], torch.tensor([1.0, 0.0]).double())
    assert effective_count(rows)[2].isnan() and hoyer(rows)[2].isnan()


def test_abs_near_zero_counts_what_relu_counts_on_relus_output() -> None:
    h = _random(40, 30).relu()
    relu = active_neurons(h, ActivityRule.parse("relu"))
    assert torch.equal(relu, active_neurons(h, ActivityRule.parse("abs:1e-30")))
    assert torch.equal(relu, h > 0)


@given(k=st.integers(1, 12), seed=st.integers(0, 50))
def test_topk_keeps_k_neurons_none_smaller_than_one_left_out(k: int, seed: int) -> None:
    h = _random(5, 12, seed=seed)
    on = active_neurons(h, ActivityRule(name="topk", value=float(k)))
    assert torch.equal(on.sum(1), torch.full((5,), k))
    if k < 12:
        left = torch.where(on, -1.0, h.abs()).amax(1)
        assert bool((torch.where(on, h.abs(), torch.inf).amin(1) >= left).all())


def test_relmax_is_relative_to_the_tokens_own_largest_neuron() -> None:
    h = torch.tensor([[10.0, -1.0, 0.9], [0.1, 0.01, 0.0], [0.0, 0.0, 0.0]])
    on = active_neurons(h, ActivityRule.parse("relmax:10"))
    assert on.tolist() == [[True, True, False], [True, True, False], [False] * 3]


def test_neurons_needed_counts_the_largest_until_the_share_is_reached() -> None:
    norm = torch.tensor([[1.0, 5.0, 2.0, 2.0], [0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    found = ranked(norm)
    assert neurons_needed(found, 0.5).tolist() == [1, 1, 0]
    assert neurons_needed(found, 0.7).tolist() == [2, 1, 0]
    assert neurons_needed(found, 0.9).tolist() == [3, 1, 0]
    assert kept_largest(found, neurons_needed(found, 0.7)).tolist() == [
        [False, True, True, False],
        [False, False, False, True],
        [False] * 4,
    ]


def test_equal_neurons_are_all_needed_in_proportion() -> None:
    found = ranked(torch.full((1, 20), 0.3))
    assert [int(neurons_needed(found, share)) for share in (0.1, 0.25, 0.5, 0.95)] == [2, 5, 10, 19]


def test_what_is_left_out_is_the_difference_of_the_outputs() -> None:
    h, W_out = _random(6, 10), _random(10, 4, seed=1)
    kept = _random(6, 10, seed=2) > 0
    expected = ((h @ W_out) - (h * kept) @ W_out).norm(dim=1) / (h @ W_out).norm(dim=1)
    torch.testing.assert_close(output_left_out(h, kept, W_out), expected.double())
    assert output_left_out(h, torch.ones_like(kept), W_out).abs().max() == 0
    assert output_left_out(torch.zeros(1, 10), kept[:1], W_out).isnan().all()


@pytest.mark.parametrize("theta", [0.05, 0.2, 0.5])
def test_the_threshold_found_gives_its_cett_within_a_thousandth(theta: float) -> None:
    h, W_out = torch.nn.functional.silu(_random(200, 64)), _random(64, 16, seed=1)
    found = find_threshold(h, W_out, theta=theta)
    on = active_neurons(
        h, ActivityRule(name="cett", value=theta), epsilon=found.epsilon, out_norm=W_out.norm(dim=1)
    )
    measured = float(output_left_out(h, on, W_out).mean())
    assert measured == pytest.approx(theta, abs=1e-3) == pytest.approx(found.cett, abs=1e-3)


def test_dropping_nothing_and_dropping_all_are_the_ends_of_cett() -> None:
    h, W_out = _random(20, 8), _random(8, 4, seed=1)
    assert find_threshold(h, W_out, theta=0.0) == (0.0, 0.0)
    assert find_threshold(h, W_out, theta=1.0).cett == pytest.approx(1.0)


def test_where_the_sum_dips_the_threshold_still_stays_below_theta() -> None:
    # Dropping the two smallest neurons cancels: the error is 0.5, then 0, then everything.
    h = torch.tensor([[1.0, 1.1, 2.0]])
    W_out = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    found = find_threshold(h, W_out, theta=0.2)
    assert found.cett <= 0.2
    assert found.epsilon > 1.1


def test_rows_without_an_output_and_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match="no row of the sample has an output"):
        find_threshold(torch.zeros(3, 4), torch.ones(4, 2), theta=0.2)
    for text in (
        "sigmoid",
        "cett",
        "relu:1",
        "abs:x",
        "cett:2",
        "topk:2.5",
        "relmax:0.5",
        "abs:nan",
    ):
        with pytest.raises(BadInput, match=r"rule"):
            ActivityRule.parse(text)
    with pytest.raises(BadInput, match="has 4 neurons"):
        active_neurons(torch.ones(1, 4), ActivityRule.parse("topk:5"))
    with pytest.raises(BadInput, match="needs W_out"):
        active_neurons(torch.ones(1, 4), ActivityRule.parse("cett:0.1"))


def test_a_rules_text_parses_back_to_itself() -> None:
    for text in ("relu", "abs:0.01", "relmax:100", "topk:32", "cett:0.2"):
        assert str(ActivityRule.parse(text)) == text
