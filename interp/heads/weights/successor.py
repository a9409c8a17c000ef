"""Successor scores: does a head that reads a member of an ordinal class write the next one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.heads.weights.ordinal import OrdinalClass


class OrderShares(NamedTuple):
    """Shares of the members of a class, by head."""

    successor: Float[np.ndarray, " n_heads"]
    """Members whose successor gets the largest logit among the members of the class."""
    predecessor: Float[np.ndarray, " n_heads"]
    identity: Float[np.ndarray, " n_heads"]
    """Members that get the largest logit themselves: a copying head."""


def best_members(
    logits: Float[np.ndarray, "n_heads members members"],
) -> Int[np.ndarray, "n_heads members"]:
    """Which member each head raises most when it reads each; −1 where the best two tie."""
    best_two = np.partition(logits, -2, axis=-1)[..., -2:]
    ahead = best_two[..., 1] - best_two[..., 0]
    return np.where(ahead > 1e-6 * np.abs(logits).max(-1), logits.argmax(-1), -1)


def order_shares(best: Int[np.ndarray, "n_heads members"], members: OrdinalClass) -> OrderShares:
    """Successor, predecessor and identity shares of one class (2312.09230, section 2)."""
    first, after = members.pairs.T
    return OrderShares(
        successor=(best[:, first] == after).mean(-1),
        predecessor=(best[:, after] == first).mean(-1),
        identity=(best == np.arange(best.shape[1])).mean(-1),
    )


def permuted_shares(
    best: Int[np.ndarray, "n_heads members"],
    members: OrdinalClass,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draws n_heads"]:
    """Successor shares when the members stand in a random order, one order a draw for all heads.

    Every step (member, successor) becomes (order[member], order[successor]): what a head raises
    stays, and the steps keep their number and shape, a line or a circle.
    """
    first, after = members.pairs.T
    orders = rng.permuted(np.tile(np.arange(best.shape[1]), (draws, 1)), axis=1)
    shares = np.empty((draws, len(best)))
    for draw, order in enumerate(orders):
        shares[draw] = (best[:, order[first]] == order[after]).mean(-1)
    return shares
