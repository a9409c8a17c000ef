"""Shares of right answers over several languages, with intervals."""

import numpy as np
from jaxtyping import Int

from interp.results.intervals import Interval, wilson


def mean_of_shares(right: Int[np.ndarray, " groups"], n: Int[np.ndarray, " groups"]) -> Interval:
    """Unweighted mean of the groups' shares, with a 95% interval from their Wilson intervals.

    With p_l and (low_l, high_l) of each of G groups, the distances are added in squares
    (Zou and Donner 2008, MOVER): low = p − √Σ(p_l − low_l)² / G, high likewise. With one group it
    is Wilson's interval. Every group counts the same, whatever its size; an empty one makes it NaN.
    """
    each = [wilson(int(k), int(total)) for k, total in zip(right, n, strict=True)]
    if not each:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(np.mean([interval.value for interval in each]))
    below = np.sqrt(sum((i.value - i.low) ** 2 for i in each)) / len(each)
    above = np.sqrt(sum((i.high - i.value) ** 2 for i in each)) / len(each)
    return Interval(value, float(value - below), float(value + above))
