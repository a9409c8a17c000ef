"""PairedTest: whether two models differ on the same items."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.results.intervals import Interval, paired_bootstrap, wilson
from interp.results.significance import mcnemar


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """One model against another in one column of a comparison, over the same items."""

    first: str
    second: str
    column: str
    n: int
    only_first: int
    """Items that the first model alone gets right."""
    only_second: int
    difference: Interval
    """Share right of the first minus the second, items pooled; Newcombe's paired 95% interval."""
    bootstrap: Interval
    """The same difference with the percentile bootstrap over items."""
    p: float
    """Exact two-sided McNemar; cannot go below 2^(1 − only_first − only_second)."""
    p_holm: float
    """Adjusted for all tests of the comparison (Holm 1979)."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return dict(self.__dict__) | {
            "difference": list(self.difference),
            "bootstrap": list(self.bootstrap),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PairedTest":
        """The inverse of `to_json`."""
        intervals: dict[str, Any] = {
            name: Interval(*content[name]) for name in ("difference", "bootstrap")
        }
        return cls(**(content | intervals))


def newcombe_paired(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """Difference of two paired shares with Newcombe's 95% interval (Newcombe 1998, method 10).

    The Wilson intervals of the two shares are combined in squares with their correlation φ, which
    is continuity-corrected when positive. n = 0 gives NaN.
    """
    n = both + only_first + only_second + neither
    first, second = wilson(both + only_first, n), wilson(both + only_second, n)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    phi = _phi(both, only_first, only_second, neither)
    down = (first.value - first.low, second.high - second.value)
    up = (first.high - first.value, second.value - second.low)
    value = first.value - second.value
    low, high = (
        sqrt(max(0.0, a * a - 2 * phi * a * b + b * b)) for a, b in ((down[0], down[1]), up)
    )
    return Interval(value, value - low, value + high)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    first, second = both + only_first, both + only_second
    n = both + only_first + only_second + neither
    margins = first * (n - first) * second * (n - second)
    if margins == 0:
        return 0.0
    product = both * neither - only_first * only_second
    corrected = max(product - n / 2, 0) if product > 0 else product
    return corrected / sqrt(margins)


def paired_test(
    first: Bool[np.ndarray, " items"],
    second: Bool[np.ndarray, " items"],
    *,
    names: tuple[str, str],
    column: str,
    rng: np.random.Generator,
) -> PairedTest:
    """Compare two models on the same items. `p_holm` is p until `Holm` is applied to a family."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    p = mcnemar(only_first, only_second)
    return PairedTest(
        first=names[0],
        second=names[1],
        column=column,
        n=len(first),
        only_first=only_first,
        only_second=only_second,
        difference=newcombe_paired(both, only_first, only_second, neither),
        bootstrap=paired_bootstrap(first, second, rng=rng),
        p=p,
        p_holm=p,
    )
