"""Sweep: every setting of a method measured on validation items, then one rule that chooses.

Methods with other knobs than the two scales (a share of tensors, a learning rate) are tried over
as many settings as any other, so that none wins by having been tried more often.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant
from interp.abilities.comparing.tuning import Choice, Measured, pick
from interp.results.errors import BadInput

# Each list's beginning is a coarse grid around 1, and every longer beginning holds the shorter.
_GAMMAS = (
    *(1.0, 0.6, 1.4, 0.8, 1.2, 0.4, 1.6, 0.2, 1.8, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 0.3, 1.7),
    *(0.95, 1.05, 1.15),
)
_ETAS = (
    *(1.0, 0.85, 0.7, 1.15, 0.5, 1.3, 0.6, 0.925, 1.075, 0.775, 1.225, 0.65, 0.8, 0.9, 0.55, 1.1),
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A method with all its knobs but the scales set."""

    contestant: Contestant
    scales: tuple[Scales, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    """The knobs, by name: what is printed beside the scales."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of a comparison: all the settings it may be used with."""

    key: str
    title: str
    variants: tuple[Variant, ...]

    @property
    def n_settings(self) -> int:
        """How many settings there are to choose from."""
        return sum(len(variant.scales) for variant in self.variants)


class Tried(NamedTuple):
    """One setting and what it gave on validation."""

    variant: Variant
    scales: Scales
    measured: Measured

    @property
    def settings(self) -> dict[str, Any]:
        """Every knob, the scales among them."""
        return {**self.variant.settings, **self.scales._asdict()}


def scale_grid(n: int, *, language: bool = True) -> tuple[Scales, ...]:
    """Exactly `n` pairs of scales around 1; without a language eta is 0 and gamma takes all.

    Raises BadInput where `n` has no two factors within 20 gammas and 16 etas.
    """
    if not language:
        return tuple(Scales(gamma, 0.0) for gamma in _evenly(n))
    pairs = [(n // m, m) for m in range(1, len(_ETAS) + 1) if n % m == 0 and n // m <= len(_GAMMAS)]
    if not pairs:
        raise BadInput(f"{n} pairs of scales do not make a grid: take 1, 10, 20, 40, 80, 160 or so")
    n_gamma, n_eta = min(pairs, key=lambda pair: abs(pair[0] - 1.6 * pair[1]))
    return tuple(Scales(g, e) for g, e in product(_GAMMAS[:n_gamma], _ETAS[:n_eta]))


def sweep(method: Method, measure: Callable[[Contestant, Scales], Measured]) -> tuple[Tried, ...]:
    """Every setting of `method`, measured once."""
    return tuple(
        Tried(variant, scales, measure(variant.contestant, scales))
        for variant, scales in _settings(method)
    )


def best(tried: Sequence[Tried], *, floor: float) -> tuple[Tried, bool]:
    """The setting that `pick` takes, and whether its general accuracy is at least `floor`."""
    index, kept = pick([one.measured for one in tried], floor=floor)
    return tried[index], kept


def choice_of(tried: Sequence[Tried], *, floor: float) -> Choice:
    """The same choice, as it is saved with a comparison."""
    one, kept = best(tried, floor=floor)
    return Choice(scales=one.scales, measured=one.measured, meets_floor=kept, n_settings=len(tried))


def _settings(method: Method) -> Iterator[tuple[Variant, Scales]]:
    for variant in method.variants:
        for scales in variant.scales:
            yield variant, scales


def _evenly(n: int) -> tuple[float, ...]:
    """n gammas from 1.8/n to 1.8."""
    return tuple(round(1.8 * (i + 1) / n, 6) for i in range(n))
