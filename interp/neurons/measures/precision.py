"""Average precision: whether rows with the label are those where a unit is highest (2305.18390)."""

import numpy as np
from jaxtyping import Float, Float64, Int8
from torch import Tensor

from interp.neurons.average_precision import average_precision
from interp.neurons.measures.measured import Measured
from interp.neurons.nulls import chance_of, expected_average_precision


def precision(values: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"]) -> Measured:
    """max(AP⁺, AP⁻), each with the share of positives of the labels as they are.

    Where a draw has other counts, its average precision is brought to these: as far above what is
    expected by chance, as a share of what is possible.
    """
    return _precision(values, drawn, normalise=False)


def normalised_precision(
    values: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"]
) -> Measured:
    """The larger of the two (AP − E0)/(1 − E0)."""
    return _precision(values, drawn, normalise=True)


def _precision(
    values: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"], *, normalise: bool
) -> Measured:
    n, n_positive = drawn.shape[1], drawn.sum(dim=1).numpy()
    alike = bool((n_positive == n_positive[0]).all())
    found, chance = (
        average_precision(values, drawn),
        chance_of(values, drawn[:1] if alike else drawn),
    )
    positive, negative = found.positive.numpy(), found.negative.numpy()
    up, down = positive, negative
    if normalise or not alike:
        up, down = (
            _above_chance(positive, n, n_positive),
            _above_chance(negative, n, n - n_positive),
        )
    if not (normalise or alike):
        up, down = (
            expected_average_precision(n, int(count)) * (1 - part) + part
            for part, count in ((up, n_positive[0]), (down, n - n_positive[0]))
        )
    return Measured(
        score=np.maximum(up, down),
        sign=np.where(up[0] >= down[0], 1, -1).astype(np.int8),
        z=chance.standardised(positive, negative),
        harmonic=chance.harmonic[0],
        positive=positive[0],
        negative=negative[0],
    )


def _above_chance(
    ap: Float64[np.ndarray, "draws units"], n: int, n_positive: np.ndarray
) -> Float64[np.ndarray, "draws units"]:
    counts = {int(count) for count in n_positive}
    by_count = {count: expected_average_precision(n, count) for count in counts}
    expected = np.array([by_count[int(count)] for count in n_positive])[:, None]
    return (ap - expected) / (1 - expected)
