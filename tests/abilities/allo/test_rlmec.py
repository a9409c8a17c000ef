import pytest
import torch

from interp.abilities.allo.rlmec import (
    imitation_loss,
    reinforcement_loss,
    reinforcement_weight,
    rlmec_loss,
    token_rewards,
)


@pytest.mark.parametrize(
    ("ratio", "reward", "weight"),
    [(2.0, 0.5, 0.65), (0.5, 0.5, 0.25), (2.0, -0.1, -0.2), (0.5, -0.1, -0.07)],
)
def test_the_weight_is_the_smaller_of_plain_and_clipped(ratio, reward, weight):
    log_ratio = torch.tensor([[ratio]]).log()
    found = reinforcement_weight(log_ratio, torch.tensor([[reward]]))
    assert found.item() == pytest.approx(weight, abs=1e-7)


@pytest.mark.parametrize(
    ("p", "right", "reward"),
    [(0.9, True, 0.4), (0.2, True, 0), (0.2, False, -0.1), (0.45, False, -0.05)],
)
def test_rewards_are_cut_to_a_half_upwards_and_a_tenth_downwards(p, right, reward):
    found = token_rewards(torch.tensor([[p]]), torch.tensor([right]))
    assert found.item() == pytest.approx(reward, abs=1e-7)


def test_the_push_goes_on_where_the_ratio_is_clipped():
    old = torch.tensor([[-3.0, -1.0]])
    log_probs = (old + torch.tensor([[2.0, 5.0]]).log()).requires_grad_()
    reinforcement_loss(log_probs, old, torch.tensor([[0.5, 0.5]])).backward()
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad, torch.tensor([[-0.65 / 2, -0.65 / 2]]), atol=1e-6)


def test_tokens_without_reward_neither_count_nor_move():
    old = torch.tensor([[-1.0, -1.0, -1.0]])
    log_probs = old.clone().requires_grad_()
    loss = reinforcement_loss(log_probs, old, torch.tensor([[0.4, 0.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.4)
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad, torch.tensor([[-0.4, 0.0, 0.0]]))


def test_imitation_is_the_mean_weighted_cross_entropy_over_tokens_with_a_weight():
    log_probs = torch.tensor([[-2.0, -4.0, -7.0]])
    assert imitation_loss(log_probs, torch.tensor([[1.0, 0.5, 0.0]])).item() == pytest.approx(2.0)


def test_no_reward_and_no_weight_anywhere_is_zero_and_not_nan():
    nothing = torch.zeros(2, 3)
    log_probs = torch.full((2, 3), -1.0)
    assert reinforcement_loss(log_probs, log_probs, nothing).item() == 0
    assert imitation_loss(log_probs, nothing).item() == 0


def test_the_whole_is_the_sum_of_both():
    assert rlmec_loss(torch.tensor(2.0), torch.tensor(3.0)).item() == 5.0
