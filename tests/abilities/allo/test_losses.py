"""ALLO's losses: their gradients where the model is its reference, their limits, DPO inside."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.abilities.allo.losses import dpo_loss, forget_loss, kept_tokens, learn_loss

BETA = 0.1


def ratios(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def answers(lengths: list[int], pos: int, *, prompt: int = 2) -> Tensor:
    place = torch.arange(pos)
    ends = torch.tensor(lengths)[:, None] + prompt
    return (place >= prompt) & (place < ends)


def test_forgetting_pushes_each_token_by_half_beta_times_its_weight_at_the_reference() -> None:
    ratio = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[0.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.25, 0.0]], dtype=torch.float64)
    loss = forget_loss(ratio, weights, beta=BETA)
    (gradient,) = torch.autograd.grad(loss, ratio)
    torch.testing.assert_close(gradient, weights * BETA / 2 / 3, atol=1e-12, rtol=0)
    assert loss.item() == pytest.approx(math.log(2) * 1.75 / 3)


def test_a_forgotten_token_costs_nothing() -> None:
    loss = forget_loss(torch.full((1, 3), -1e4), torch.ones(1, 3), beta=BETA)
    assert 0 <= loss.item() < 1e-6


def test_without_a_weight_forgetting_is_zero_and_so_is_its_gradient() -> None:
    ratio = ratios(2, 3).requires_grad_()
    loss = forget_loss(ratio, torch.zeros(2, 3).double(), beta=BETA)
    (gradient,) = torch.autograd.grad(loss, ratio)
    assert loss.item() == 0.0
    assert not bool(gradient.any())


def test_dpo_is_the_mean_over_pairs_written_out() -> None:
    chosen, rejected = ratios(3, 5), ratios(3, 5, seed=1)
    expected = [
        -math.log(1 / (1 + math.exp(-BETA * (float(c.sum()) - float(r.sum())))))
        for c, r in zip(chosen, rejected, strict=True)
    ]
    assert float(dpo_loss(chosen, rejected, beta=BETA)) == pytest.approx(sum(expected) / 3)


@given(cut=st.integers(1, 5), seed=st.integers(0, 20))
def test_the_losses_of_pieces_add_up_to_that_of_the_batch(cut: int, seed: int) -> None:
    chosen, rejected = ratios(6, 5, seed=seed), ratios(6, 5, seed=seed + 1)
    weights = (ratios(6, 5, seed=seed + 2) > 0).double()
    answer = answers([3, 1, 2, 3, 3, 1], 5)
    n = int(weights.count_nonzero())
    parts = [slice(0, cut), slice(cut, 6)]
    forget = sum(forget_loss(rejected[p], weights[p], beta=BETA, n=n) for p in parts)
    learn = sum(
        learn_loss(chosen[p], rejected[p], answer[p], beta=BETA, epsilon=0.5, n=6) for p in parts
    )
    torch.testing.assert_close(forget, forget_loss(rejected, weights, beta=BETA))
    whole = learn_loss(chosen, rejected, answer, beta=BETA, epsilon=0.5)
    torch.testing.assert_close(learn, whole)


@given(seed=st.integers(0, 50))
def test_learning_with_every_token_is_dpo(seed: int) -> None:
    answer = answers([4, 1, 3], 6)
    chosen, rejected = ratios(3, 6, seed=seed) * answer, ratios(3, 6, seed=seed + 1) * answer
    dpo = dpo_loss(chosen, rejected, beta=BETA)
    learn = learn_loss(chosen, rejected, answer, beta=BETA, epsilon=1.0)
    torch.testing.assert_close(learn, dpo, atol=0, rtol=0)


@pytest.mark.parametrize("padded", [None, 6])
@pytest.mark.parametrize("select", ["largest", "smallest"])
def test_before_the_first_update_learning_keeps_everything(padded, select) -> None:
    answer = answers([4, 1, 3], 6)
    kept = kept_tokens(torch.zeros(3, 6), answer, epsilon=0.1, select=select, padded=padded)
    assert torch.equal(kept, answer)


def test_the_tokens_that_fell_most_are_kept_or_those_that_fell_least() -> None:
    answer = answers([10], 12)
    ratio = torch.zeros(1, 12)
    ratio[0, 2:] = torch.tensor([-1.0, 4, -9, 2, -3, 0.5, 7, -8, 1, -2])
    most = kept_tokens(ratio, answer, epsilon=0.2)
    least = kept_tokens(ratio, answer, epsilon=0.2, select="smallest")
    assert most.nonzero()[:, 1].tolist() == [4, 9]
    assert least.nonzero()[:, 1].tolist() == [3, 8]


@given(length=st.integers(1, 40), epsilon=st.floats(0.01, 1.0), seed=st.integers(0, 9))
def test_the_count_kept_is_the_share_of_the_answer_and_never_none(
    length: int, epsilon: float, seed: int
) -> None:
    answer = answers([length], length + 5)
    kept = kept_tokens(ratios(1, length + 5, seed=seed), answer, epsilon=epsilon)
    assert int(kept.sum()) == max(1, math.floor(epsilon * length + 1e-9))


def test_a_padded_count_keeps_more_and_of_a_short_answer_all() -> None:
    """The authors' T: of 100 answer tokens 40 at T = 400, and every one at T = 1200."""
    answer = answers([100], 400)
    ratio = ratios(1, 400)
    assert int(kept_tokens(ratio, answer, epsilon=0.1).sum()) == 10
    assert int(kept_tokens(ratio, answer, epsilon=0.1, padded=400).sum()) == 40
    assert int(kept_tokens(ratio, answer, epsilon=0.1, padded=1200).sum()) == 100


def test_no_gradient_goes_through_the_selection() -> None:
    answer = answers([4], 6)
    rejected = (ratios(1, 6) * answer).requires_grad_()
    loss = learn_loss(torch.zeros(1, 6).double(), rejected, answer, beta=BETA, epsilon=0.5)
    (gradient,) = torch.autograd.grad(loss, rejected)
    kept = kept_tokens(rejected, answer, epsilon=0.5)
    z = -(rejected.detach() * kept).sum()
    expected = BETA * torch.sigmoid(-BETA * z) * kept
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=0)
