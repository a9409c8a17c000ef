"""The difference of two shares of the same items, with an interval that knows they are paired."""

from math import sqrt

from interp.results.intervals import Interval, wilson


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
    low, high = (sqrt(max(0.0, a * a - 2 * phi * a * b + b * b)) for a, b in (down, up))
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
