"""Which labels of points can be read: none is printed over another."""

from collections.abc import Sequence

import numpy as np

_WIDE, _HIGH = 0.07, 0.05


def apart(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point keeps its label, first come first served; the others are read by hover.

    Labels are as wide and high as a share of what the points span.
    """
    if not points:
        return []
    places = np.array(points, dtype=np.float64)
    span = np.ptp(places, axis=0)
    places = places / np.where(span > 0, span, 1.0)
    kept: list[int] = []
    for i, place in enumerate(places):
        distance = np.abs(places[kept] - place)
        if not ((distance[:, 0] < _WIDE) & (distance[:, 1] < _HIGH)).any():
            kept.append(i)
    return [i in kept for i in range(len(points))]
