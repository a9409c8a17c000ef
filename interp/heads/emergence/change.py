"""Change points: whether a curve over checkpoints changes level, and where.

A change is one of two descriptions: a jump between two checkpoints, or a straight rise (or fall)
over at most half of the checkpoints, and 20, with a level on either side. It counts only where it
beats by BIC = n ln(RSS/n) + k ln n every description without one: a level, a straight drift, and
noise that wanders about a level (AR(1), its exact likelihood). k counts the noise and every place
that is searched for (a place of a jump twice).

How often curves without a change are said to have one, of 2000 drawn:

    checkpoints                  7    8   10   14   20   40
    independent noise           .10  .09  .07  .04  .02  .01
    AR(1) noise of .5           .22  .24  .22  .17  .15  .06
    AR(1) noise of .8           .29  .32  .35  .31  .22  .05
    a drift, noise of .05       .00  .00  .00  .00  .00  .00

Below 7 checkpoints nothing is said. Noise that wanders is told from a change only by about 40
checkpoints: with fewer, a change is a description and no test. A logistic rise whose middle half
takes 1.5 checkpoints (noise .03) is found in .71 of draws at 7 and in .99 or more from 8 on.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

Kind = Literal["none", "drift", "wander", "change", "too short"]
LEAST_CHECKPOINTS = 7
"""With fewer, one curve of independent noise in six is said to change."""
# A level, a drift, a jump, wandering, a rise.
_PARAMETERS = np.array([2.0, 3.0, 5.0, 3.0, 6.0])
_WITHOUT: tuple[tuple[int, Kind], ...] = ((0, "none"), (1, "drift"), (3, "wander"))
_WITH = (2, 4)
_SIDE = 2
_LONGEST_RISE = 20
_MEMORY = np.linspace(-0.9, 0.98, 48)
# Residuals below a millionth of the range are rounding, not fit: ln 0 would decide everything.
_FLOOR = 1e-12


class Fits(NamedTuple):
    """The descriptions of many curves over the same checkpoints."""

    at: Int64[np.ndarray, " curves"]
    """The first checkpoint after the best jump; -1 where the curve is too short for one."""
    bic: Float64[np.ndarray, "curves descriptions"]
    """Of a level, a drift, a jump, wandering and a rise; NaN where the curve is too short."""

    def kinds(self) -> list[Kind]:
        """What describes each curve best; a jump and a rise are both a change."""
        gains = self.gains()
        return [
            "too short" if at < 0 else "change" if gain > 0 else _best_without(bic)
            for at, bic, gain in zip(self.at, self.bic, gains, strict=True)
        ]

    def gains(self) -> Float64[np.ndarray, " curves"]:
        """BIC of the best description without a change less that of the best with one."""
        without = self.bic[:, [place for place, _ in _WITHOUT]]
        return without.min(axis=1) - self.bic[:, list(_WITH)].min(axis=1)


def _best_without(bic: np.ndarray) -> Kind:
    return min(_WITHOUT, key=lambda described: bic[described[0]])[1]


def fit_changes(curves: Float[np.ndarray, "curves steps"]) -> Fits:
    """Where each curve jumps, if it does; checkpoints where a curve is NaN are left out.

    All checkpoints count the same, so a series spaced evenly in log steps is read in log steps. A
    curve with fewer than 7 checkpoints is too short. A tie goes to the earlier jump. `at` is the
    best jump's also where a rise describes the curve better: it lies within the rise.
    """
    there = np.isfinite(curves)
    values = np.where(there, curves, 0.0).astype(np.float64)
    n = there.sum(axis=1)
    short = n < LEAST_CHECKPOINTS
    if short.all():
        return Fits(at=np.full(len(n), -1), bic=np.full((len(n), 5), np.nan))
    splits = _split_residuals(values, there)
    at = np.argmin(splits, axis=1) + 1
    least = _FLOOR * np.square(_range(curves))
    residuals = [_one_level(values, there), _drift(values, there), splits.min(axis=1),
                 *_by_what_is_there(values, there, least)]  # fmt: skip
    bic = _bic(np.stack(residuals, axis=1), n, least)
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


def _by_what_is_there(
    values: np.ndarray, there: np.ndarray, least: np.ndarray
) -> tuple[Float64[np.ndarray, " curves"], Float64[np.ndarray, " curves"]]:
    """Squares left by wandering and by a rise, over the checkpoints that each curve has."""
    wander, rise = np.zeros(len(values)), np.zeros(len(values))
    patterns, which = np.unique(there, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.ravel() == number)
        if pattern.sum() >= LEAST_CHECKPOINTS:
            present = values[np.ix_(rows, pattern)]
            wander[rows], rise[rows] = _wander(present, least[rows]), _rise(present)
    return wander, rise


def _wander(
    values: Float64[np.ndarray, "curves steps"], least: Float64[np.ndarray, " curves"]
) -> Float64[np.ndarray, " curves"]:
    """What plays the part of squares left for AR(1) noise about a level.

    −2 ln L = n ln(S/n) − ln(1 − φ²) at the best φ, where S weighs the first checkpoint by 1 − φ²
    and every later one by its innovation; given as n exp(−2 ln L / n).
    """
    n = values.shape[1]
    best = np.full(len(values), np.inf)
    for memory in _MEMORY:
        first, later = 1 - memory**2, values[:, 1:] - memory * values[:, :-1]
        weight = first + (n - 1) * (1 - memory) ** 2
        level = (first * values[:, 0] + (1 - memory) * later.sum(axis=1)) / weight
        squares = first * np.square(values[:, 0] - level)
        squares += np.square(later - (1 - memory) * level[:, None]).sum(axis=1)
        best = np.minimum(best, np.maximum(squares, n * least) * first ** (-1 / n))
    return best


def _rise(values: Float64[np.ndarray, "curves steps"]) -> Float64[np.ndarray, " curves"]:
    """Squares left by two levels with a straight way of 2 checkpoints or more between them."""
    n = values.shape[1]
    longest = min(n // 2, _LONGEST_RISE)
    place = np.arange(n)
    centred = values - values.mean(axis=1, keepdims=True)
    gained = np.zeros(len(values))
    for start in range(1, n - 2):
        for stop in range(start + 2, min(n - 1, start + longest + 1)):
            way = np.clip((place - start) / (stop - start), 0, 1)
            way -= way.mean()
            gained = np.maximum(gained, np.square(centred @ way) / (way @ way))
    return np.maximum(np.square(centred).sum(axis=1) - gained, 0.0)


def _bic(
    residuals: np.ndarray, n: np.ndarray, least: np.ndarray
) -> Float64[np.ndarray, "curves descriptions"]:
    n = np.maximum(n, 1)[:, None]
    floor = np.where(least > 0, least, 1.0)[:, None]
    # A curve that does not move at all is one level: the floor makes all fits equal there.
    return n * np.log(np.maximum(residuals / n, floor)) + _PARAMETERS * np.log(n)


def _range(curves: np.ndarray) -> Float64[np.ndarray, " curves"]:
    high = np.where(np.isfinite(curves), curves, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(np.isfinite(curves), curves, np.inf).min(axis=1, initial=np.inf)
    return np.where(high >= low, high - low, 0.0)


def _mean(values: np.ndarray, there: np.ndarray) -> Float64[np.ndarray, " curves"]:
    return np.where(there, values, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
