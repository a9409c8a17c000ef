"""Skill neurons: how often a threshold on one unit's activation gives a label of unseen rows.

arXiv 2211.07349 compares an activation with its mean over the training rows and counts how often
that gives the label of other rows. There the direction is the better one on those rows; here it
comes from the training rows too, so that nothing is chosen where it is measured.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int8
from scipy.stats import hypergeom
from torch import Tensor

from interp.neurons.pooled_null import false_discovery, max_t
from interp.neurons.relabelling import shuffled_labels
from interp.neurons.rows_of_functions import checked_labels
from interp.results.errors import BadInput


class SkillAccuracy(NamedTuple):
    """Accuracy of every unit for every function on held-out rows, and what chance gives."""

    accuracy: Float64[np.ndarray, "functions units"]
    """Share of held-out rows on which the unit, against its threshold, says the label."""
    expected: Float64[np.ndarray, "functions units"]
    """Mean accuracy when the same held-out labels fall on the same rows at random."""
    p: Float64[np.ndarray, "functions units"]
    """Chance of as many right, exact: the rights follow a hypergeometric law."""
    q: Float64[np.ndarray, "functions units"]
    """`p` with the false discovery rate controlled over units and functions."""
    null_best: Float64[np.ndarray, "functions draws"]
    """The best unit's accuracy above `expected` on each shuffle of the held-out labels."""
    p_max_t: Float64[np.ndarray, "functions units"]
    """Family-wise over the units of a function."""
    threshold: Float64[np.ndarray, "functions units"]
    """Mean activation over the function's training rows."""
    sign: Int8[np.ndarray, "functions units"]
    """1 where training rows with the label lie above the threshold more often, else -1."""
    n: tuple[int, ...]
    """Held-out rows of every function."""

    def predictivity(self) -> Float64[np.ndarray, "functions units"]:
        """|accuracy - 1/2| (2211.07349): for functions with as many rows of either class."""
        return np.abs(self.accuracy - 0.5)


class Thresholds(NamedTuple):
    """What training rows teach: a bar for every unit, and which side of it means the label."""

    threshold: Float64[Tensor, " units"]
    """Mean activation."""
    sign: Int8[Tensor, " units"]
    """1 where rows with the label lie above it more often, else -1."""

    def says(self, scores: Float[Tensor, "rows units"]) -> Float64[Tensor, "rows units"]:
        """1 where a unit says the label, else 0."""
        return ((scores.double() > self.threshold) == (self.sign > 0)).double()


def thresholds(
    scores: Float[Tensor, "rows units"], labels: Int8[np.ndarray, " rows"]
) -> Thresholds:
    """The thresholds of training rows, all of them labelled 0 or 1, both of which occur."""
    threshold = scores.double().mean(dim=0)
    above = (scores.double() > threshold).double()
    positive = torch.from_numpy(labels == 1).double()
    agreement = positive / positive.sum() - (1 - positive) / (1 - positive).sum()
    sign = torch.where(agreement @ above >= 0, 1, -1).to(torch.int8)
    return Thresholds(threshold, sign)


def skill_accuracy(
    train_scores: Float[Tensor, "train_rows units"],
    train_labels: Int8[Tensor, "train_functions train_rows"]
    | Bool[Tensor, "train_functions train_rows"],
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    draws: int = 200,
    seed: int = 0,
) -> SkillAccuracy:
    """Threshold and direction from the training rows, accuracy on the others.

    A label of -1 is no part of the function. Raises BadInput for a function of one class in either
    split, and where the two splits have different functions.
    """
    train, held_out = checked_labels(train_labels), checked_labels(labels)
    if len(train) != len(held_out):
        raise BadInput(
            f"{len(train)} functions have training labels and {len(held_out)} held-out labels: "
            "give the same functions in the same order"
        )
    parts = [
        _one_function(train_scores, a, scores, b, draws, np.random.default_rng([seed, index]))
        for index, (a, b) in enumerate(zip(train, held_out, strict=True))
    ]
    accuracy, expected, p, best, threshold, sign = (np.stack(x) for x in zip(*parts, strict=True))
    return SkillAccuracy(
        accuracy=accuracy,
        expected=expected,
        p=p,
        q=false_discovery(p),
        null_best=best,
        p_max_t=max_t(accuracy - expected, best),
        threshold=threshold,
        sign=sign.astype(np.int8),
        n=tuple(int(n) for n in (held_out >= 0).sum(axis=1)),
    )


def _one_function(
    train_scores: Float[Tensor, "train_rows units"],
    train: Int8[np.ndarray, " train_rows"],
    scores: Float[Tensor, "rows units"],
    label: Int8[np.ndarray, " rows"],
    draws: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    seen = torch.from_numpy(train >= 0)
    learnt = thresholds(train_scores[seen], train[train >= 0])
    says = learnt.says(scores[torch.from_numpy(label >= 0)])
    inside = label[label >= 0]
    drawn = np.concatenate([inside[None], shuffled_labels(inside, draws, rng)])
    hits = (torch.from_numpy(drawn).double() @ says).numpy()
    n, n_positive, n_said = len(inside), int(inside.sum()), says.sum(dim=0).numpy()
    accuracy = (n - n_positive - n_said + 2 * hits) / n
    expected = (n_said * n_positive + (n - n_said) * (n - n_positive)) / n**2
    p = hypergeom.sf(hits[0] - 1, n, n_positive, n_said)
    best = (accuracy[1:] - expected).max(axis=1)
    return accuracy[0], expected, p, best, learnt.threshold.numpy(), learnt.sign.numpy()
