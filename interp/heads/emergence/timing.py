"""When curves change, which changes first, and whether two move at the same checkpoints."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from interp.heads.emergence.change import Fits, Kind, fit_changes, levels_around
from interp.heads.emergence.curve import Curve, Resampling
from interp.heads.emergence.moving import co_movement, rises_of

_LEAST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class ChangePoint:
    """Where one curve jumps, and how sure that is."""

    curve: str
    kind: Kind
    """What describes the curve best by BIC; the other fields are given in any case."""
    step_before: int | None
    step_after: int | None
    """The best jump lies between these two checkpoints."""
    low: int | None
    high: int | None
    """95% bootstrap over sequences of `step_after`, over the draws with a change; None where they
    are fewer than half."""
    before: float | None
    after: float | None
    """Mean level on either side."""
    bic_gain: float | None
    """BIC of the best description without a change less that of the change: above 0 for one."""
    share_change: float
    """Share of bootstrap draws with a change."""

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
    """95% bootstrap over sequences, over the draws in which both curves have a change; None where
    they are fewer than half."""
    share_draws: float
    """Share of bootstrap draws in which both curves have a change."""
    steps: int | None
    correlation: float | None
    """Rank correlation of the fluctuations away from both changes; None where there is no test."""
    p_together: float | None
    """Of that correlation, see `co_movement`. Moving together is no cause."""
    n_tested: int
    """Checkpoints at which both curves are known; below 20 there is no test."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def change_point(curve: Curve, steps: tuple[int, ...], draws: Resampling) -> ChangePoint:
    """The change point of a curve, with its bootstrap interval."""
    values = curve.values()
    found = fit_changes(values[None])
    again = fit_changes(draws.of(curve))
    kind, at = found.kinds()[0], int(found.at[0])
    changed = _changed(again)
    share = float(changed.mean())
    if at < 0:
        return ChangePoint(
            curve=curve.name, kind=kind, step_before=None, step_after=None,
            low=None, high=None, before=None, after=None, bic_gain=None, share_change=share,
        )  # fmt: skip
    low, high = _ends(again.at, changed)
    before, after = levels_around(values, at)
    return ChangePoint(
        curve=curve.name,
        kind=kind,
        step_before=steps[at - 1],
        step_after=steps[at],
        low=None if low is None else steps[int(low)],
        high=None if high is None else steps[int(high)],
        before=before,
        after=after,
        bic_gain=float(found.gains()[0]),
        share_change=share,
    )


def lag_between(later: Curve, earlier: Curve, steps: tuple[int, ...], draws: Resampling) -> Lag:
    """Change of `later` minus change of `earlier`; negative where `later` comes first.

    The lag is told only where both curves change. Curves of one sample are resampled together.
    """
    fits = [fit_changes(curve.values()[None]) for curve in (later, earlier)]
    both = all(fit.kinds()[0] == "change" for fit in fits)
    again = [fit_changes(draws.of(curve)) for curve in (later, earlier)]
    changed = _changed(again[0]) & _changed(again[1])
    low, high = _ends(again[0].at - again[1].at, changed) if both else (None, None)
    first, second = (int(fit.at[0]) for fit in fits)
    rises = rises_of(np.array([first, second]))
    rho, p, n_tested = co_movement(later.values(), earlier.values(), rises)
    return Lag(
        later=later.name,
        earlier=earlier.name,
        checkpoints=float(first - second) if both else None,
        low=low,
        high=high,
        share_draws=float(changed.mean()),
        steps=steps[first] - steps[second] if both else None,
        correlation=None if np.isnan(rho) else rho,
        p_together=None if np.isnan(p) else p,
        n_tested=n_tested,
    )


def _changed(fits: Fits) -> Bool[np.ndarray, " draws"]:
    return np.array([kind == "change" for kind in fits.kinds()], dtype=bool)


def _ends(
    places: Int64[np.ndarray, " draws"], changed: Bool[np.ndarray, " draws"]
) -> tuple[float | None, float | None]:
    if not len(changed) or changed.mean() < _LEAST_SHARE:
        return None, None
    low = np.quantile(places[changed], 0.025, method="lower")
    high = np.quantile(places[changed], 0.975, method="higher")
    return float(low), float(high)
