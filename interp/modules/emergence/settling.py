"""When a curve over training settles: the first step from which it stays where it should be."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def settled_at_least(
    steps: Sequence[int], values: Float[np.ndarray, " steps"], least: Float[np.ndarray, " steps"]
) -> int | None:
    """The first step from which on every value is at or above its bound; None if there is none.

    A value that is not there (NaN) has not settled.
    """
    return _first(steps, values >= least)


def settled_at_most(
    steps: Sequence[int], values: Float[np.ndarray, " steps"], most: Float[np.ndarray, " steps"]
) -> int | None:
    """The first step from which on every value is at or below its bound; None if there is none."""
    return _first(steps, values <= most)


def settled_near_last(
    steps: Sequence[int], values: Float[np.ndarray, " steps"], tolerance: float
) -> int | None:
    """The first step from which on every value is within `tolerance` of the last one.

    None where only the last itself is: that says nothing.
    """
    found = _first(steps, np.abs(values - values[-1]) <= tolerance)
    return None if found == steps[-1] else found


def _first(steps: Sequence[int], holds: np.ndarray) -> int | None:
    broken = np.flatnonzero(~holds)
    start = int(broken[-1]) + 1 if len(broken) else 0
    return int(steps[start]) if start < len(steps) else None
