"""When curves change, which changes first, and whether two move at the same checkpoints."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from scipy import stats

from interp.heads.emergence.change import Kind, fit_changes, levels_around
from interp.heads.emergence.curve import Curve, Resampling


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """Where one curve jumps, and how sure that is."""

    curve: str
    kind: Kind
    """Whether a jump is better than one level by BIC; the other fields are given in any case."""
    drifts: bool
    """Whether a straight drift is better still: then the jump is the middle of a long rise."""
    step_before: int | None
    step_after: int | None
    """The jump lies between these two checkpoints."""
    low: int | None
    high: int | None
    """95% bootstrap over sequences of `step_after`."""
    before: float | None
    after: float | None
    """Mean level on either side."""
    bic_gain: float | None
    """BIC of one level less that of the jump: above 0 the jump describes the curve better."""
    share_change: float
    """Share of bootstrap draws in which the jump is better than one level."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Lag:
    """How much later one curve changes than another, and whether they move together."""

    later: str
    earlier: str
    checkpoints: float | None
    """Change point of `later` minus that of `earlier`, in checkpoints; None if one has none."""
    low: float | None
    high: float | None
    """95% bootstrap over sequences, over the draws in which both curves have a jump to compare."""
    steps: int | None
    correlation: float | None
    """Spearman of the changes from checkpoint to checkpoint; None where one does not change."""
    p_shift: float | None
    """Share of circular shifts of one curve's changes with a correlation as high: co-timing."""
    n_shifts: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def change_point(curve: Curve, steps: tuple[int, ...], draws: Resampling) -> ChangePoint:
    """The change point of a curve, with its bootstrap interval."""
    values = curve.values()
    found = fit_changes(values[None])
    again = fit_changes(draws.of(curve))
    kind, at = found.kinds()[0], int(found.at[0])
    share = float(np.mean([k == "change" for k in again.kinds()]))
    if at < 0:
        return ChangePoint(
            curve=curve.name, kind=kind, drifts=False, step_before=None, step_after=None,
            low=None, high=None, before=None, after=None, bic_gain=None, share_change=share,
        )  # fmt: skip
    low, high = _ends(again.at[again.at >= 0])
    before, after = levels_around(values, at)
    return ChangePoint(
        curve=curve.name,
        kind=kind,
        drifts=bool(found.drifts()[0]),
        step_before=steps[at - 1],
        step_after=steps[at],
        low=steps[int(low)],
        high=steps[int(high)],
        before=before,
        after=after,
        bic_gain=float(found.bic[0, 0] - found.bic[0, 2]),
        share_change=share,
    )


def lag_between(later: Curve, earlier: Curve, steps: tuple[int, ...], draws: Resampling) -> Lag:
    """Change of `later` minus change of `earlier`; negative where `later` comes first.

    The lag is told only where both curves jump. Curves of one sample are resampled together.
    """
    fits = [fit_changes(curve.values()[None]) for curve in (later, earlier)]
    both = all(fit.kinds()[0] == "change" for fit in fits)
    places = [fit_changes(draws.of(curve)).at for curve in (later, earlier)]
    paired = (places[0] - places[1])[(places[0] >= 0) & (places[1] >= 0)]
    low, high = _ends(paired) if both and len(paired) else (None, None)
    first, second = (int(fit.at[0]) for fit in fits)
    rho, p, n_shifts = co_movement(later.values(), earlier.values())
    return Lag(
        later=later.name,
        earlier=earlier.name,
        checkpoints=float(first - second) if both else None,
        low=low,
        high=high,
        steps=steps[first] - steps[second] if both else None,
        correlation=None if np.isnan(rho) else rho,
        p_shift=None if np.isnan(p) else p,
        n_shifts=n_shifts,
    )


def co_movement(
    first: Float[np.ndarray, " steps"], second: Float[np.ndarray, " steps"]
) -> tuple[float, float, int]:
    """Spearman of two curves' first differences, its one-sided p, and of how many shifts.

    The null keeps each curve's own order in time and moves one against the other: all circular
    shifts of the second's differences, that of 0 included, so p is at least 1/shifts. NaN where
    fewer than 3 differences are there or one curve does not move.
    """
    a, b = np.diff(first), np.diff(second)
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    n = len(a)
    if n < 3 or not np.ptp(a) or not np.ptp(b):
        return float("nan"), float("nan"), n
    x, y = (_standardised(stats.rankdata(values)) for values in (a, b))
    shifts = (np.arange(n)[None] - np.arange(n)[:, None]) % n
    shifted = y[shifts] @ x
    # Shifts that tie with the true one differ from it by rounding alone.
    return float(shifted[0]), float(np.mean(shifted >= shifted[0] - 1e-12)), n


def _standardised(ranks: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Of mean 0 and length 1, so that a product is a correlation."""
    centred = ranks - ranks.mean()
    return centred / np.linalg.norm(centred)


def _ends(places: np.ndarray) -> tuple[float, float]:
    low = np.quantile(places, 0.025, method="lower")
    high = np.quantile(places, 0.975, method="higher")
    return float(low), float(high)
