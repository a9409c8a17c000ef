"""Online code: how many nats it takes to send the labels, learning as they come."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from probes.linear.regression import fit

PORTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Shares of the rows after which the code is learnt anew, as published."""


class CodeLength(NamedTuple):
    """What sending n labels costs."""

    nats: float
    compression: float
    """Uniform code length over this one: 1 is what a code that learns nothing gives."""


def online_code(
    rows: Float32[np.ndarray, "rows d"],
    classes: Int[np.ndarray, " rows"],
    *,
    n_classes: int,
    penalty: float,
) -> CodeLength:
    """Code length of the labels in the order of the rows (Voita and Titov 2020, 2003.12298, eq. 3).

    t_1 ln K + Σ_i −ln p_i(y of rows t_i to t_(i+1)), where p_i was fitted on the first t_i rows.
    The rows must come in random order, whole documents together. `penalty` is that of a fit on all
    rows; a portion is fitted under the same prior on the weights, which weighs more a row.
    """
    ends = sorted({max(int(round(share * len(rows))), 1) for share in PORTIONS})
    nats = ends[0] * float(np.log(n_classes))
    for start, stop in zip(ends, ends[1:], strict=False):
        prior = penalty * len(rows) / start
        fitted = fit(rows[:start], classes[:start], n_classes=n_classes, penalty=prior)
        wanted = fitted.log_probabilities(rows[start:stop])
        nats -= float(wanted[np.arange(stop - start), classes[start:stop]].sum())
    return CodeLength(nats, len(rows) * float(np.log(n_classes)) / nats)
