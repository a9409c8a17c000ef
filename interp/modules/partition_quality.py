"""PartitionQuality: how much more co-activation lies inside experts than chance would put there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from interp.results.errors import CorruptFile


@dataclass(frozen=True, kw_only=True)
class PartitionQuality:
    """Weighted modularity Q of a partition on a co-activation graph, beside two nulls."""

    affinity: str
    """What the edges weigh: phi, moefication or count."""
    q: float
    """-0.5 to 1; 0 where as much weight lies inside experts as their degrees alone would put."""
    random: Float64[np.ndarray, " draws"]
    """Q of random partitions of the same sizes on the same graph. Beating it is easy: any method
    that fits noise does."""
    shuffled: Float64[np.ndarray, " shuffles"]
    """Q that the same method reaches on activations whose columns were shuffled over rows one by
    one: rates stay, co-activation goes. Empty where it was not asked for."""
    n_rows: int
    """Rows of activations behind the graph."""

    @property
    def z(self) -> float:
        """Standard deviations above the shuffled null; NaN below two shuffles."""
        return _z(self.q, self.shuffled)

    @property
    def p(self) -> float:
        """One-sided against the shuffled null, (1 + exceedances) / (1 + shuffles)."""
        return _p(self.q, self.shuffled)

    @property
    def z_random(self) -> float:
        """Standard deviations above random partitions; NaN below two draws."""
        return _z(self.q, self.random)

    @property
    def p_random(self) -> float:
        """One-sided against random partitions, (1 + exceedances) / (1 + draws)."""
        return _p(self.q, self.random)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a finding stores beside the header."""
        return {
            "quality_q": np.array([self.q]),
            "quality_random": self.random,
            "quality_shuffled": self.shuffled,
        }

    def header(self) -> dict[str, str | int]:
        """What stands in a finding's header under `quality`."""
        return {"affinity": self.affinity, "n_rows": self.n_rows}

    @classmethod
    def read(cls, header: dict, arrays: dict[str, np.ndarray]) -> "PartitionQuality":
        """The inverse of `header` and `arrays`; CorruptFile where a part is missing."""
        try:
            return cls(
                affinity=header["affinity"],
                n_rows=header["n_rows"],
                q=float(arrays["quality_q"][0]),
                random=arrays["quality_random"],
                shuffled=arrays["quality_shuffled"],
            )
        except (KeyError, IndexError, TypeError) as error:
            raise CorruptFile(f"the partition's quality is not whole ({error})") from error


def _z(value: float, null: Float64[np.ndarray, " draws"]) -> float:
    spread = float(np.std(null, ddof=1)) if len(null) > 1 else 0.0
    return (value - float(np.mean(null))) / spread if spread > 0 else float("nan")


def _p(value: float, null: Float64[np.ndarray, " draws"]) -> float:
    if not len(null):
        return float("nan")
    return float((1 + np.sum(null >= value)) / (1 + len(null)))
