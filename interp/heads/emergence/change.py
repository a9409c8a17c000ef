"""Change points: the two level segments that describe a curve best, and whether one would do.

Descriptions of a curve over checkpoints are compared by BIC = n ln(RSS/n) + k ln n: one level
(k = 2: the level and the noise) and two levels with a jump between two checkpoints (k = 5: two
levels, the noise, and where, which counts twice because it is searched for). On white noise over
10, 14, 20 and 40 checkpoints the jump then wins for .11, .08, .05 and .02 of the curves; counted
once, for .26, .22, .17 and .11.

A straight drift over checkpoints (k = 3) is fitted beside them: a curve that only drifts is also
fitted better by two levels than by one, so a jump that a drift beats is told apart.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

Kind = Literal["none", "change", "too short"]
LEAST_CHECKPOINTS = 4
"""Two on each side."""
_PARAMETERS = np.array([2.0, 3.0, 5.0])
_SIDE = 2
# Residuals below a millionth of the range are rounding, not fit: ln 0 would decide everything.
_FLOOR = 1e-12


class Fits(NamedTuple):
    """The descriptions of many curves over the same checkpoints."""

    at: Int64[np.ndarray, " curves"]
    """The first checkpoint after the jump; -1 where the curve is too short for one."""
    bic: Float64[np.ndarray, "curves descriptions"]
    """Of one level, a drift and a jump; NaN where the curve is too short."""

    def kinds(self) -> list[Kind]:
        """Whether a jump describes each curve better than one level."""
        return [
            "too short" if at < 0 else "change" if bic[2] < bic[0] else "none"
            for at, bic in zip(self.at, self.bic, strict=True)
        ]

    def drifts(self) -> Bool[np.ndarray, " curves"]:
        """Whether a straight drift describes each curve better than the jump."""
        return self.bic[:, 1] < self.bic[:, 2]


def fit_changes(curves: Float[np.ndarray, "curves steps"]) -> Fits:
    """Where each curve jumps, if it does; checkpoints where a curve is NaN are left out.

    All checkpoints count the same, so a series spaced evenly in log steps is read in log steps. A
    curve with fewer than 4 checkpoints is too short. A tie goes to the earlier jump.
    """
    there = np.isfinite(curves)
    values = np.where(there, curves, 0.0).astype(np.float64)
    n = there.sum(axis=1)
    short = n < LEAST_CHECKPOINTS
    if short.all():
        return Fits(at=np.full(len(n), -1), bic=np.full((len(n), 3), np.nan))
    splits = _split_residuals(values, there)
    at = np.argmin(splits, axis=1) + 1
    residuals = np.stack(
        [_one_level(values, there), _drift(values, there), splits.min(axis=1)], axis=1
    )
    bic = _bic(residuals, n, _range(curves))
    return Fits(at=np.where(short, -1, at), bic=np.where(short[:, None], np.nan, bic))


def levels_around(values: Float[np.ndarray, " steps"], at: int) -> tuple[float, float]:
    """Mean of a curve before and from checkpoint `at` on, NaN left out."""
    sides = (side[np.isfinite(side)] for side in (values[:at], values[at:]))
    before, after = (float(side.mean()) if len(side) else float("nan") for side in sides)
    return before, after


def _one_level(values: np.ndarray, there: np.ndarray) -> Float64[np.ndarray, " curves"]:
    centred = np.where(there, values - _mean(values, there)[:, None], 0.0)
    return np.square(centred).sum(axis=1)


def _drift(values: np.ndarray, there: np.ndarray) -> Float64[np.ndarray, " curves"]:
    place = np.broadcast_to(np.arange(values.shape[1], dtype=np.float64), values.shape)
    x = np.where(there, place - _mean(np.where(there, place, 0.0), there)[:, None], 0.0)
    y = np.where(there, values - _mean(values, there)[:, None], 0.0)
    spread = np.square(x).sum(axis=1)
    slope = (x * y).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    return np.square(y - slope[:, None] * x).sum(axis=1)


def _split_residuals(values: np.ndarray, there: np.ndarray) -> Float64[np.ndarray, "curves splits"]:
    """Squares left by a jump before checkpoint 1, 2, ...; infinite with under 2 on a side."""
    # About the mean, so that the differences of sums below do not cancel.
    centred = np.where(there, values - _mean(values, there)[:, None], 0.0)
    total, n = centred.sum(axis=1, keepdims=True), there.sum(axis=1, keepdims=True)
    left, n_left = centred.cumsum(axis=1)[:, :-1], there.cumsum(axis=1)[:, :-1]
    right, n_right = total - left, n - n_left
    enough = (n_left >= _SIDE) & (n_right >= _SIDE)
    gained = np.square(left) / np.maximum(n_left, 1) + np.square(right) / np.maximum(n_right, 1)
    left_over = np.square(centred).sum(axis=1, keepdims=True) - gained
    # A jump before a checkpoint that is missing is the jump before the next one that is there.
    enough &= there[:, 1:]
    return np.where(enough, np.maximum(left_over, 0.0), np.inf)


def _bic(
    residuals: np.ndarray, n: np.ndarray, spread: np.ndarray
) -> Float64[np.ndarray, "curves descriptions"]:
    n = np.maximum(n, 1)[:, None]
    floor = np.where(spread > 0, _FLOOR * np.square(spread), 1.0)[:, None]
    # A curve that does not move at all is one level: the floor makes all fits equal there.
    return n * np.log(np.maximum(residuals / n, floor)) + _PARAMETERS * np.log(n)


def _range(curves: np.ndarray) -> Float64[np.ndarray, " curves"]:
    high = np.where(np.isfinite(curves), curves, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(np.isfinite(curves), curves, np.inf).min(axis=1, initial=np.inf)
    return np.where(high >= low, high - low, 0.0)


def _mean(values: np.ndarray, there: np.ndarray) -> Float64[np.ndarray, " curves"]:
    return np.where(there, values, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
