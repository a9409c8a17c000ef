"""RLMEC's rewards and losses (2401.06081): token rewards from a rewriting model, and imitation.

    r_t   = clip(p_t - .5, 0, .5) in a right answer, clip(p_t - .5, -.1, 0) in a wrong one
    rho_t = exp(log pi(y_t) - log pi_old(y_t))
    L_RL  = - sum_t min(rho_t r_t, clip(rho_t, .7, 1.3) r_t) log pi(y_t) / #{t : r_t != 0}
    L_IR  = - sum_t w_t log pi(y'_t) / #{t : w_t != 0}        on the rewrite y'
    L     = L_RL + L_IR

p_t is the rewriting model's probability of the token in the corrected answer.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RIGHT_REWARDS = (0.0, 0.5)
WRONG_REWARDS = (-0.1, 0.0)
"""The push down is bounded more tightly than the push up."""
CLIP = 0.3
IMITATION = 1.0
"""What L_IR counts for beside L_RL."""


def token_rewards(
    probabilities: Float[Tensor, "rows pos"], right: Bool[Tensor, " rows"]
) -> Float[Tensor, "rows pos"]:
    """p_t - .5, cut to [0, .5] in right answers and to [-.1, 0] in wrong ones."""
    centred = probabilities - 0.5
    return torch.where(right[:, None], centred.clamp(*RIGHT_REWARDS), centred.clamp(*WRONG_REWARDS))


def reinforcement_weight(
    log_ratio: Float[Tensor, "rows pos"],
    rewards: Float[Tensor, "rows pos"],
    *,
    clip: float = CLIP,
) -> Float[Tensor, "rows pos"]:
    """min(rho r, clip(rho, 1 - clip, 1 + clip) r), without a gradient.

    PPO's surrogate stops pushing where the ratio is clipped; here the weight is detached, so
    there the push is capped and goes on: at rho 2, r .5 it is .65.
    """
    ratio = log_ratio.detach().exp()
    return torch.minimum(ratio * rewards, ratio.clamp(1 - clip, 1 + clip) * rewards)


def reinforcement_loss(
    log_probs: Float[Tensor, "rows pos"],
    old_log_probs: Float[Tensor, "rows pos"],
    rewards: Float[Tensor, "rows pos"],
) -> Float[Tensor, ""]:
    """L_RL over all tokens with a reward; 0 where none has one."""
    weight = reinforcement_weight(log_probs - old_log_probs, rewards)
    return -(weight * log_probs).sum() / max(int(rewards.count_nonzero()), 1)


def imitation_loss(
    log_probs: Float[Tensor, "rows pos"], weights: Float[Tensor, "rows pos"]
) -> Float[Tensor, ""]:
    """L_IR: weighted cross-entropy of the rewrite over all tokens with a weight; 0 without any."""
    return -(weights * log_probs).sum() / max(int(weights.count_nonzero()), 1)


def rlmec_loss(
    reinforcement: Float[Tensor, ""],
    imitation: Float[Tensor, ""],
    *,
    imitation_weight: float = IMITATION,
) -> Float[Tensor, ""]:
    """L = L_RL + 1.0 L_IR."""
    return reinforcement + imitation_weight * imitation
