"""What a fitted probe scores on rows it has not seen, with intervals over groups."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from interp.results.bootstrap import ratio_bootstrap
from interp.results.intervals import Interval
from probes.linear.ranking import average_precision_interval
from probes.linear.regression import Linear

_DRAWS = 2000


class Scored(NamedTuple):
    """Measures of one probe on the test rows; 95% bootstrap over groups."""

    accuracy: Interval
    average_precision: Interval
    """Of the second class of two, or the mean over the classes, each against the rest."""
    log_loss: Interval
    """Nats."""
    right: Bool[np.ndarray, " rows"]


def score(
    fitted: Linear,
    rows: Float32[np.ndarray, "rows d"],
    classes: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    *,
    seed: int,
) -> Scored:
    """Accuracy, average precision and log loss of the probe on the rows."""
    log_p = fitted.log_probabilities(rows)
    right = log_p.argmax(axis=1) == classes
    losses = -log_p[np.arange(len(rows)), classes]
    wanted = asked_classes(log_p.shape[1])
    precision = average_precision_interval(
        log_p[:, wanted], classes[:, None] == wanted, groups, rng=np.random.default_rng(seed)
    )
    return Scored(
        accuracy=mean_over(right, groups, seed=seed),
        average_precision=precision,
        log_loss=mean_over(losses, groups, seed=seed),
        right=right,
    )


def mean_over(
    values: Float[np.ndarray, " rows"] | Bool[np.ndarray, " rows"] | Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    *,
    seed: int,
) -> Interval:
    """Mean over rows, with the bootstrap over groups: rows of one document are not independent."""
    place = np.unique(groups, return_inverse=True)[1]
    return ratio_bootstrap(
        np.bincount(place, values.astype(np.float64)),
        np.bincount(place).astype(np.float64),
        rng=np.random.default_rng(seed),
        draws=_DRAWS,
    )


def asked_classes(n_classes: int) -> Int[np.ndarray, " asked"]:
    """The classes whose average precision counts: all, or the second of two."""
    return np.arange(n_classes) if n_classes > 2 else np.array([1])
