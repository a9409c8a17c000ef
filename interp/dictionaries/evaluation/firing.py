"""How often every feature is on, and how many are on at once, counted over rows."""

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from interp.results.intervals import Interval, wilson

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DENSE = 0.1
"""A feature that is on in more than this share of rows is dense."""


class FiringCounts:
    """Counts of rows in which each feature is on, and of rows by how many are on."""

    def __init__(self, d_sae: int) -> None:
        self.n_rows = 0
        self.fired = np.zeros(d_sae, np.int64)
        self.rows_by_l0 = np.zeros(d_sae + 1, np.int64)

    def update(self, codes: Float[Tensor, "rows d_sae"]) -> None:
        """Add some rows. On is not zero: features of AbsTopK may be negative."""
        on = codes != 0
        self.n_rows += len(on)
        self.fired += on.sum(0).cpu().numpy()
        l0 = on.sum(-1).cpu().numpy()
        self.rows_by_l0 += np.bincount(l0, minlength=len(self.rows_by_l0))

    def merge(self, other: "FiringCounts") -> None:
        """Add what was counted over other rows."""
        self.n_rows += other.n_rows
        self.fired += other.fired
        self.rows_by_l0 += other.rows_by_l0

    def l0_quantiles(self) -> Float[np.ndarray, " quantiles"]:
        """L0 at QUANTILES: the smallest that at least such a share of rows does not exceed."""
        if self.n_rows == 0:
            return np.full(len(QUANTILES), np.nan)
        share = np.cumsum(self.rows_by_l0) / self.n_rows
        lowest = np.flatnonzero(self.rows_by_l0)[0]
        found = [max(np.searchsorted(share, q - 1e-12), lowest) for q in QUANTILES]
        return np.array(found, np.float64)


def feature_measures(fired: Int64[np.ndarray, " d_sae"], n_rows: int) -> dict[str, Interval]:
    """Shares of dead and dense features, and how dense a dead one may be and show nothing."""
    bound = wilson(0, n_rows).high
    return {
        "dead": wilson(int((fired == 0).sum()), len(fired)),
        "dead_density_bound": Interval(bound, float("nan"), float("nan")),
        "dense": wilson(int((fired > DENSE * n_rows).sum()), len(fired)),
    }
