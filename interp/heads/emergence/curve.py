"""Curve: one measure over checkpoints with what it is a mean of, so that it can be resampled."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Sum of `part` over sum of `whole` at each checkpoint; columns are what was sampled."""

    name: str
    sample: str
    """What the columns are. Curves of one sample are resampled together: they are paired."""
    part: Float[np.ndarray, "steps n"]
    whole: Float[np.ndarray, "steps n"]
    """How much each column counts at each checkpoint; 0 where it says nothing."""

    @property
    def n(self) -> int:
        """Sequences, or prompts."""
        return self.part.shape[1]

    def values(self) -> Float64[np.ndarray, " steps"]:
        """The measure; NaN at a checkpoint where nothing counts."""
        return self.resampled(np.ones((1, self.n)))[0]

    def resampled(self, times: Float[np.ndarray, "draws n"]) -> Float64[np.ndarray, "draws steps"]:
        """The curve with every column taken so many times."""
        part, whole = times @ self.part.T, times @ self.whole.T
        return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean_curve(name: str, sample: str, values: Float[np.ndarray, "steps n"]) -> Curve:
    """A plain mean over what is not NaN."""
    there = np.isfinite(values)
    return Curve(
        name=name,
        sample=sample,
        part=np.where(there, values, 0.0).astype(np.float64),
        whole=there.astype(np.float64),
    )


class Resampling:
    """How often each sequence is taken in each of `draws` bootstrap draws, the same for a sample.

    The first asked of a sample draws; curves of the same sample then share the draws.
    """

    def __init__(self, *, draws: int, seed: int) -> None:
        self.draws = draws
        self._seed = seed
        self._times: dict[tuple[str, int], Float64[np.ndarray, "draws n"]] = {}

    def of(self, curve: Curve) -> Float64[np.ndarray, "draws steps"]:
        """The curve in every draw."""
        key = curve.sample, curve.n
        if key not in self._times:
            # The name is part of the seed: what is drawn does not depend on who asks first.
            rng = np.random.default_rng([self._seed, curve.n, *curve.sample.encode()])
            even = np.full(max(curve.n, 1), 1 / max(curve.n, 1))
            self._times[key] = rng.multinomial(curve.n, even, size=self.draws).astype(np.float64)
        return curve.resampled(self._times[key])
