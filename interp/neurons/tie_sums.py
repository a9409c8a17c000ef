"""Six sums over a unit's groups of equal scores: all that chance asks of it in average precision.

P · AP = Σ_j a_j y_j + Σ_{j≠k} S_jk y_j y_k over rows with labels y: r_j rows score at least as high
as row j, a_j = 1/r_j, and S_jk = 1/(2 max(r_j, r_k)), or 1/r_j where the two are tied.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.neurons.ranking import Ranking


class TieSums(NamedTuple):
    """The sums of every unit; R_j is Σ_{k≠j} S_jk."""

    a: Float[np.ndarray, " units"]
    """Σ_j a_j: the n-th harmonic number without ties, 1 where all scores are equal."""
    a_squared: Float[np.ndarray, " units"]
    """Σ_j a_j²."""
    a_rows: Float[np.ndarray, " units"]
    """Σ_j a_j R_j."""
    pairs: Float[np.ndarray, " units"]
    """Σ_j R_j."""
    pairs_squared: Float[np.ndarray, " units"]
    """Σ_{j≠k} S_jk²."""
    rows_squared: Float[np.ndarray, " units"]
    """Σ_j R_j²."""


def tie_sums(ranked: Ranking) -> TieSums:
    """The six sums of every unit, in one pass over its groups."""
    depth, size, total = ranked.depth, ranked.size, ranked.sum_over_groups
    step = size / depth
    a = total(step)
    through = np.cumsum(step)
    before = through[ranked.first_group] - step[ranked.first_group]
    n_groups = np.diff(ranked.first_group, append=len(depth))
    later = np.repeat(before + a, n_groups) - through
    rows = (depth - size) / (2 * depth) + later / 2 + (size - 1) / depth
    apart, tied = size * (depth - size) / (2 * depth**2), size * (size - 1) / depth**2
    return TieSums(
        a=a,
        a_squared=total(step / depth),
        a_rows=total(step * rows),
        pairs=total(size * rows),
        pairs_squared=total(apart + tied),
        rows_squared=total(size * rows**2),
    )
