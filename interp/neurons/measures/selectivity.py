"""Selectivity: how far a unit's means with and without the label lie apart."""

import numpy as np
from jaxtyping import Float, Int8
from torch import Tensor

from interp.neurons.measures.measured import Measured, direction, measured

_LEAST_SHARE = 1e-12
"""Of a unit's variance that is taken to lie within the classes at least: d' is below 10^6 or so."""


def selectivity(values: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"]) -> Measured:
    """d' = |m1 − m0| in standard deviations within the classes; 0 for a unit that never changes."""
    centred = values.double() - values.double().mean(dim=0)
    n = len(values)
    n_positive = drawn.double().sum(dim=1).numpy()[:, None]
    sums, square = (drawn.double() @ centred).numpy(), centred.square().sum(dim=0).numpy()
    # Sums over all rows are 0, so those without the label are minus those with it.
    apart = np.abs(sums / n_positive + sums / (n - n_positive))
    between = n_positive * (n - n_positive) / n * apart**2
    within = np.sqrt(np.maximum(square - between, _LEAST_SHARE * square) / max(n - 2, 1))
    d_prime = np.divide(apart, within, out=np.zeros_like(apart), where=within > 0)
    return measured(d_prime, direction(values, drawn[0]), values, drawn)
