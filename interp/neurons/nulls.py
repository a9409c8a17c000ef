"""Average precision by chance: its exact mean and spread over all placings of the labels."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int8
from scipy.special import digamma
from torch import Tensor

from interp.neurons.average_precision import UNITS_AT_ONCE
from interp.neurons.ranking import Ranking, over_blocks, restrict
from interp.neurons.rows_of_functions import RowSet, checked_labels, row_sets
from interp.neurons.tie_sums import TieSums, tie_sums


def harmonic_number(n: int) -> float:
    """H_n = Σ_{i=1..n} 1/i."""
    return float(digamma(n + 1) - digamma(1))


def expected_average_precision(n: int, n_positive: int, harmonic: float | None = None) -> float:
    """Mean average precision over all placings of `n_positive` labels on `n` rows.

    E0 = π' + (1 - π') h/n with π' = (P - 1)/(n - 1), exact: a row with the label, at depth r, finds
    (r - 1) π' others above it. `harmonic` h is the unit's Σ 1/r (`AveragePrecision.harmonic`);
    without it no two scores are equal and h is the n-th harmonic number. All scores equal: P/n.
    """
    if n == 1:
        return 1.0
    share = (n_positive - 1) / (n - 1)
    return share + (1 - share) * (harmonic_number(n) if harmonic is None else harmonic) / n


class Chance(NamedTuple):
    """Mean and standard deviation of average precision when labels fall on rows at random.

    Exact, ties included, over all placings of as many labels on the function's rows. The spread is
    0, and nothing can be tested, where a unit's scores are all equal.
    """

    positive_mean: Float64[np.ndarray, "functions units"]
    positive_sd: Float64[np.ndarray, "functions units"]
    negative_mean: Float64[np.ndarray, "functions units"]
    negative_sd: Float64[np.ndarray, "functions units"]
    harmonic: Float64[np.ndarray, "functions units"]
    """Σ 1/r over rows (`AveragePrecision.harmonic`)."""

    def standardised(
        self,
        positive: Float64[np.ndarray, "functions units"],
        negative: Float64[np.ndarray, "functions units"],
    ) -> Float64[np.ndarray, "functions units"]:
        """How many standard deviations the better sign lies above its mean; NaN without spread."""
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.maximum(
                (positive - self.positive_mean) / self.positive_sd,
                (negative - self.negative_mean) / self.negative_sd,
            )
        return np.where(self.positive_sd > 0, z, np.nan)


def chance_of(
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    units_at_once: int = UNITS_AT_ONCE,
) -> Chance:
    """What chance gives every unit for every function; only the counts of the labels matter.

    The variance is that of a quadratic form in labels drawn without replacement: with
    π_k = P(P-1)...(P-k+1)/(n(n-1)...(n-k+1)) the chance that k given rows all have the label,
    E(P·AP)² = π1 Σa² + π2 [(Σa)² - Σa² + 4 ΣaR + 2 ΣS²]
             + π3 [2 Σa ΣR - 4 ΣaR + 4 (ΣR² - ΣS²)] + π4 [(ΣR)² - 4 ΣR² + 2 ΣS²].
    """
    label = checked_labels(labels)
    sets = row_sets(label)

    def of_block(block: Float[np.ndarray, "units rows"], ranking: Ranking) -> np.ndarray:
        found = np.empty((5, len(label), len(block)))
        for rows in sets:
            found[:, rows.functions] = _of_set(restrict(ranking, block, rows.part), rows)
        return found

    blocks = over_blocks(scores, of_block, units_at_once=units_at_once)
    return Chance(*np.concatenate(blocks, axis=2))


def _of_set(ranked: Ranking, rows: RowSet) -> Float[np.ndarray, "5 members units"]:
    sums, n = tie_sums(ranked), ranked.n_rows
    positive = rows.n_positive[:, None]
    up, down = _moments(sums, n, positive), _moments(sums, n, n - positive)
    flat = np.diff(ranked.first_group, append=len(ranked.ends)) == 1
    spread = [np.where(flat, 0.0, sd) for sd in (up[1], down[1])]
    harmonic = np.broadcast_to(sums.a, up[0].shape)
    return np.stack([up[0], spread[0], down[0], spread[1], harmonic])


def _moments(
    sums: TieSums, n: int, n_positive: Float[np.ndarray, "members 1"]
) -> tuple[Float[np.ndarray, "members units"], Float[np.ndarray, "members units"]]:
    """Mean and standard deviation."""
    drawn = [(n_positive - k) / max(n - k, 1) for k in range(4)]
    one, two, three, four = np.cumprod(drawn, axis=0)
    a, a2, ar, s, s2, r2 = sums
    mean = one * a + two * s
    square = one * a2 + two * (a**2 - a2 + 4 * ar + 2 * s2)
    square += three * (2 * a * s - 4 * ar + 4 * (r2 - s2))
    square += four * (s**2 - 4 * r2 + 2 * s2)
    variance = np.maximum(square - mean**2, 0.0)
    return mean / n_positive, np.sqrt(variance) / n_positive
