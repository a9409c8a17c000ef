"""Recovery: the share of known features that a dictionary found, beside a random dictionary's."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from interp.results.intervals import Interval, mean_t, wilson
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How close the nearest decoder direction lies to every true feature.

    Cosines keep their sign: a feature that only ever adds is not found by its opposite.
    """

    threshold: float
    """Cosine from which a feature counts as recovered."""
    d_sae: int
    cosine: Float[np.ndarray, " n_features"]
    """Largest cosine of each true feature with any decoder row."""
    matched: Float[np.ndarray, " n_features"]
    """Cosine with the row assigned to it one to one (Hungarian); NaN where rows ran out."""
    null_cosine: Float[np.ndarray, "draws n_features"]
    """`cosine` with random dictionaries of as many rows."""
    null_matched: Float[np.ndarray, "draws n_features"]
    probability: Float[np.ndarray, " n_features"]
    """How often each feature is active."""
    provenance: Provenance

    @property
    def n_features(self) -> int:
        """How many true features there are."""
        return len(self.cosine)

    @property
    def best_match(self) -> Interval:
        """Share of features with any row at the threshold, Wilson's 95% over features."""
        return wilson(int((self.cosine >= self.threshold).sum()), self.n_features)

    @property
    def one_to_one(self) -> Interval:
        """Share of features whose own row is at the threshold, Wilson's 95% over features."""
        return wilson(int((self.matched >= self.threshold).sum()), self.n_features)

    @property
    def mmcs(self) -> Interval:
        """Mean over true features of the largest cosine (arXiv 2309.08600), 95% t-interval."""
        return mean_t(self.cosine)

    @property
    def null_best_match(self) -> float:
        """`best_match` of the random dictionaries."""
        return float((self.null_cosine >= self.threshold).mean())

    @property
    def null_one_to_one(self) -> float:
        """`one_to_one` of the random dictionaries."""
        return float((self.null_matched >= self.threshold).mean())

    @property
    def null_mmcs(self) -> float:
        """`mmcs` of the random dictionaries."""
        return float(self.null_cosine.mean())

    @cached_property
    def by_frequency(self) -> dict[str, "Recovery"]:
        """The same for the rarer and the more frequent half of the features."""
        order = np.argsort(self.probability, kind="stable")
        half = self.n_features // 2
        return {"rare": self._of(order[:half]), "frequent": self._of(order[half:])}

    def _of(self, features: np.ndarray) -> "Recovery":
        return replace(
            self,
            cosine=self.cosine[features],
            matched=self.matched[features],
            null_cosine=self.null_cosine[:, features],
            null_matched=self.null_matched[:, features],
            probability=self.probability[features],
        )


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How well each true feature's own latent tells when the feature is active."""

    precision: Float[np.ndarray, " n_features"]
    """NaN where the latent never fired, or where the feature has no latent of its own."""
    recall: Float[np.ndarray, " n_features"]
    """NaN where the feature was never active, or has no latent of its own."""
    null_f1: Float[np.ndarray, " n_features"]
    """F1 of a latent that fires as often, whatever the feature does: 2pq / (p + q)."""
    n_rows: int
    provenance: Provenance

    @property
    def f1(self) -> Float[np.ndarray, " n_features"]:
        """Harmonic mean of precision and recall; 0 where either is 0 or not defined."""
        precision, recall = np.nan_to_num(self.precision), np.nan_to_num(self.recall)
        both = precision + recall
        return np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
