"""The threshold of a layer below which dropped neurons take a given share of its output."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.neurons.sparsity.token_measures import output_left_out
from interp.results.errors import BadInput

_TOLERANCE = 1e-3
_ROUNDS = 40
_SCANNED = 32


class Threshold(NamedTuple):
    """ε of one layer, and the CETT it gives on the rows it was found from."""

    epsilon: float
    cett: float


def find_threshold(
    h: Float[Tensor, "rows neurons"], W_out: Float[Tensor, "neurons d_model"], *, theta: float
) -> Threshold:
    """The ε whose CETT on these rows is θ to 1e-3, or the largest found below it.

    Neurons with ‖h_i W_out[i]‖ < ε are dropped. CETT(0) = 0 and CETT(∞) = 1; in between it is
    bisected in log ε. A sum of vectors may dip as more is dropped: where the bisection meets a dip,
    32 thresholds are scanned for the largest that stays at or below θ. Raises BadInput for rows
    whose output is zero.
    """
    out_norm = W_out.norm(dim=1)
    norm = h.abs() * out_norm
    positive = norm[norm > 0]
    if len(positive) == 0 or math.isnan(_cett(h, W_out, norm, math.inf)):
        raise BadInput("no row of the sample has an output: there is nothing to take a share of")
    low, high = float(positive.min()), float(positive.max()) * 2

    def at(epsilon: float) -> float:
        return _cett(h, W_out, norm, epsilon)

    if theta <= 0:
        return Threshold(0.0, 0.0)
    if theta >= 1:
        return Threshold(high, at(high))
    found, seen = _bisected(at, low, high, theta)
    if _dips(seen):
        return _scanned(at, low, high, theta)
    return found


def _cett(h: Tensor, W_out: Tensor, norm: Tensor, epsilon: float) -> float:
    return float(output_left_out(h, norm >= epsilon, W_out).nanmean())


def _bisected(
    at: Callable[[float], float], low: float, high: float, theta: float
) -> tuple[Threshold, list[Threshold]]:
    below, seen = Threshold(0.0, 0.0), []
    for _ in range(_ROUNDS):
        middle = math.sqrt(low * high)
        now = Threshold(middle, at(middle))
        seen.append(now)
        if now.cett <= theta:
            below, low = max(below, now), middle
        else:
            high = middle
        if abs(now.cett - theta) <= _TOLERANCE:
            return now, seen
        if high <= low * (1 + 1e-9):
            break
    return below, seen


def _dips(seen: list[Threshold]) -> bool:
    by_epsilon = [threshold.cett for threshold in sorted(seen)]
    return any(b < a - _TOLERANCE for a, b in zip(by_epsilon, by_epsilon[1:], strict=False))


def _scanned(at: Callable[[float], float], low: float, high: float, theta: float) -> Threshold:
    grid = torch.logspace(math.log10(low), math.log10(high), _SCANNED, dtype=torch.float64).tolist()
    found = [Threshold(epsilon, at(epsilon)) for epsilon in grid]
    return max((t for t in found if t.cett <= theta), default=Threshold(0.0, 0.0))
