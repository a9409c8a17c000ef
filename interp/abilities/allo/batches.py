"""Which pairs an update sees, and what a loss is given of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from interp.abilities.allo.pairs import Side


@dataclass(frozen=True, kw_only=True)
class AnswerBatch:
    """Answers of some pairs, as two models see them."""

    log_probs: Float[Tensor, "rows pos"]
    """Of the trained model; the gradient goes through these."""
    reference: Float[Tensor, "rows pos"]
    answer: Bool[Tensor, "rows pos"]
    weights: Float[Tensor, "rows pos"]

    @property
    def ratio(self) -> Float[Tensor, "rows pos"]:
        """ℓ_t = log π(y_t) − log π_ref(y_t), 0 off the answers."""
        return self.log_probs - self.reference


@dataclass(frozen=True, kw_only=True)
class StageBatch:
    """A piece of an update's pairs, and the sizes of the whole update."""

    sides: Mapping[Side, AnswerBatch]
    n_pairs: int
    """Of the whole update; a loss divides by it, so that pieces and processes add up."""
    n_weighted: Mapping[Side, int]
    """Tokens with a weight that is not 0, of the whole update."""
    padded: int
    """Length of the longest prompt with answer in the whole update."""


def pairs_of_step(n_pairs: int, *, batch_size: int, step: int, seed: int) -> Int64[Tensor, " rows"]:
    """The pairs of update `step`: the next ones of an endless row of shuffled passes.

    A pure function of its arguments, so a resumed training goes on where it stopped and every
    process knows all pairs of an update. An update may span the border of two passes.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    rows = [_order(n_pairs, seed, place // n_pairs)[place % n_pairs] for place in places]
    return torch.from_numpy(np.array(rows, dtype=np.int64))


@lru_cache(maxsize=4)
def _order(n_pairs: int, seed: int, epoch: int) -> Int64[np.ndarray, " pairs"]:
    return np.random.default_rng([seed, epoch]).permutation(n_pairs)
