"""Mutual information: how many bits the rank of a unit's activation says about the label."""

import numpy as np
from jaxtyping import Float, Int8
from torch import Tensor

from interp.neurons.average_precision import UNITS_AT_ONCE
from interp.neurons.information import N_BINS, bins_of, bits_of
from interp.neurons.measures.measured import Measured, direction, measured
from interp.neurons.ranking import over_blocks


def information(values: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"]) -> Measured:
    """Bits between eight bins of rank and the label (`bits_of`), around 0 by chance."""
    lines = drawn.numpy().astype(np.float64)
    bits = over_blocks(
        values,
        lambda _, ranking: bits_of(bins_of(ranking, N_BINS), N_BINS, lines),
        units_at_once=UNITS_AT_ONCE,
    )
    return measured(np.concatenate(bits, axis=1), direction(values, drawn[0]), values, drawn)
