"""Coactivation: which neurons of a layer fire together, and how much that changed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from interp.results.errors import Mismatch


@dataclass(frozen=True, kw_only=True)
class Coactivation:
    """Pearson's correlation of every pair of neurons' on-and-off, over `n` tokens."""

    phi: Float32[np.ndarray, "neurons neurons"]
    """-1 to 1, and 1 on the diagonal; 0 in the rows and columns of neurons that never vary."""
    rates: Float64[np.ndarray, " neurons"]
    """Share of tokens in which each neuron is on."""
    n: int
    """Tokens counted. Under independence phi has mean 0 and standard deviation about 1/√n."""

    @property
    def varies(self) -> Bool[np.ndarray, " neurons"]:
        """Neurons that were on at some token and off at another: the others have no correlation."""
        return (self.rates > 0) & (self.rates < 1)


def coactivation_change(before: Coactivation, after: Coactivation) -> float:
    """1 − Pearson's correlation of the two upper triangles of phi: 0 where nothing changed.

    Taken over the neurons that vary in both. 1 is what two unrelated matrices give, so it is read
    beside a floor: the change between two disjoint halves of the text under one model. NaN where
    fewer than three neurons vary in both, or one of the triangles is constant. Raises Mismatch for
    layers of different widths.
    """
    if before.phi.shape != after.phi.shape:
        raise Mismatch(
            f"co-activation of {len(before.phi)} and of {len(after.phi)} neurons: the change is "
            "that of one layer between checkpoints of one shape"
        )
    both = np.flatnonzero(before.varies & after.varies)
    if len(both) < 3:
        return float("nan")
    upper = np.triu_indices(len(both), k=1)
    first, second = (found.phi[np.ix_(both, both)][upper] for found in (before, after))
    return 1.0 - _pearson(first, second)


def _pearson(a: Float[np.ndarray, " pairs"], b: Float[np.ndarray, " pairs"]) -> float:
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (a, b))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else float("nan")
