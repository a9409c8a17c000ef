"""Average precision of held-out scores, with an interval over the groups that were sampled."""

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.results.intervals import Interval

_AT_ONCE = 4_000_000


def average_precision_interval(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    groups: Int[np.ndarray, " rows"],
    *,
    rng: np.random.Generator,
    draws: int = 500,
) -> Interval:
    """Mean over classes of average precision, with the percentile bootstrap over groups (95%).

    Rows of one group (a document, an item) are drawn together. A draw without a row of some class
    leaves that class out of its mean. NaN where a class has no row at all.
    """
    if not len(scores) or not truth.any(axis=0).all():
        return Interval(float("nan"), float("nan"), float("nan"))
    n_groups = int(groups.max()) + 1
    found: list[np.ndarray] = []
    block = max(1, _AT_ONCE // max(len(groups), n_groups))
    for done in range(0, draws, block):
        some = min(block, draws - done)
        drawn = rng.integers(0, n_groups, size=(some, n_groups))
        times = np.stack([np.bincount(one, minlength=n_groups) for one in drawn])
        found.append(_mean_known(_by_class(scores, truth, times[:, groups])))
    value = _by_class(scores, truth, np.ones((1, len(groups)), np.int64)).mean()
    low, high = np.nanquantile(np.concatenate(found), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _mean_known(values: Float[np.ndarray, "classes draws"]) -> Float[np.ndarray, " draws"]:
    """Mean over the classes that a draw has rows of; NaN where it has none of any."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)


def _by_class(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Int[np.ndarray, "draws rows"],
) -> Float[np.ndarray, "classes draws"]:
    columns = zip(scores.T, truth.T, strict=True)
    return np.stack([weighted_average_precision(one, true, weights) for one, true in columns])


def weighted_average_precision(
    scores: Float[np.ndarray, " rows"],
    truth: Bool[np.ndarray, " rows"],
    weights: Int[np.ndarray, "draws rows"],
) -> Float[np.ndarray, " draws"]:
    """Average precision for each line of weights: Σ (R_k − R_(k−1)) P_k over distinct scores.

    Equal scores are one operating point, as in scikit-learn. NaN where no positive has weight.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, drawn = scores[order], weights[:, order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    positive = np.cumsum(drawn * truth[order], axis=1)[:, last]
    seen = np.cumsum(drawn, axis=1)[:, last]
    gained = np.diff(positive, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(seen > 0, positive / seen, 0.0)
        return (gained * precision).sum(axis=1) / positive[:, -1]
