"""Choose a method's scales on validation items: the same grid and the same rule for all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from interp.abilities.comparing.comparator import Scales
from interp.abilities.moving.recipe import check_finite
from interp.results.errors import BadInput

GAMMAS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8)
ETAS = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3)
TOLERANCE = 0.03
"""How much general accuracy a choice may cost, on validation."""


class Measured(NamedTuple):
    """Accuracies on the validation items."""

    ability: float
    """Mean over the target languages."""
    general: float
    """Mean over all languages of the general items."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The scales of one method, and what they gave on validation."""

    scales: Scales
    measured: Measured
    meets_floor: bool
    """Whether general accuracy stayed above the floor; if no setting did, the best general one."""
    n_settings: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "scales": self.scales._asdict(),
            "validation": self.measured._asdict(),
            "meets_floor": self.meets_floor,
            "n_settings": self.n_settings,
        }


def grid(gammas: Sequence[float] = GAMMAS, etas: Sequence[float] = ETAS) -> tuple[Scales, ...]:
    """Every pair of scales, gamma outermost."""
    if not gammas or not etas:
        raise BadInput("a grid without scales: give at least one gamma and one eta")
    check_finite("gamma", *gammas)
    check_finite("eta", *etas)
    return tuple(Scales(gamma, eta) for gamma, eta in product(gammas, etas))


def choose(
    settings: Iterable[Scales], measure: Callable[[Scales], Measured], *, floor: float
) -> Choice:
    """The best of the settings, by `pick`, and what it gave."""
    tried = [(scales, measure(scales)) for scales in settings]
    index, kept = pick([measured for _, measured in tried], floor=floor)
    scales, measured = tried[index]
    return Choice(scales=scales, measured=measured, meets_floor=kept, n_settings=len(tried))


def pick(measured: Sequence[Measured], *, floor: float) -> tuple[int, bool]:
    """Which has the highest ability among those whose general accuracy is at least `floor`.

    Among equals the higher general accuracy, then the first. If none reaches the floor, the one
    with the highest general accuracy; the second result says whether one did.
    """
    if not measured:
        raise BadInput("no setting to choose from: give at least one pair of scales")
    order = range(len(measured))
    kept = [i for i in order if measured[i].general >= floor]
    if kept:
        return max(kept, key=lambda i: (measured[i].ability, measured[i].general)), True
    return max(order, key=lambda i: (measured[i].general, measured[i].ability)), False
