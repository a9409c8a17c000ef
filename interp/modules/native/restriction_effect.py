"""RestrictionEffect: what functions lose when their experts are closed to the router."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

Mode = Literal["forbid", "only"]


@dataclass(frozen=True, kw_only=True)
class RestrictionEffect:
    """Change of the loss of every function under every function's restriction, beside random ones.

    Losses are mean cross-entropies of the tokens of a function, in nats.
    """

    mode: Mode
    """forbid: the function's experts are closed; only: all others are."""
    functions: tuple[str, ...]
    tested: Bool[np.ndarray, " functions"]
    """Whether the function had an expert to close in some layer; rows of others are NaN."""
    experts: Bool[np.ndarray, "functions layers experts"]
    """Experts of each function; none in a layer means that the layer is left as it is."""
    base: Float64[np.ndarray, " functions"]
    """Loss of the model as it is."""
    change: Float64[np.ndarray, "functions functions"]
    """[f, g]: loss of g under f's restriction, minus its base. Above 0 is damage."""
    change_interval: Float64[np.ndarray, "functions functions 2"]
    """95% bootstrap over documents; NaN with fewer than two of a function."""
    random_change: Float64[np.ndarray, "functions draws functions"]
    """The same with as many experts of each layer drawn at random."""
    n_tokens: Int64[np.ndarray, " functions"]
    n_choosing: int = 0
    """Documents that the experts were chosen on."""
    n_measured: int = 0
    """Other documents, which all losses are of."""

    def summary(self) -> dict[str, Any]:
        """For machines: the changes, own minus others beside random experts, and its p."""
        return {
            "mode": self.mode,
            "functions": self.functions,
            "n_experts": self.experts.sum(axis=(1, 2)),
            "base": self.base,
            "change": self.change,
            "change_interval": self.change_interval,
            "own_minus_other": self.own_minus_other,
            "random_own_minus_other": self.random_own_minus_other,
            "p": self.p,
            "n_tokens": self.n_tokens,
            "n_choosing": self.n_choosing,
            "n_measured": self.n_measured,
        }

    @property
    def own_minus_other(self) -> Float64[np.ndarray, " functions"]:
        """Damage to the function itself minus the mean damage to the others."""
        return _own_minus_other(self.change)

    @property
    def random_own_minus_other(self) -> Float64[np.ndarray, "functions draws"]:
        """The same of each random draw of as many experts."""
        return np.stack(
            [_own_minus_other(self.random_change[:, i]) for i in range(self.n_draws)], axis=1
        )

    @property
    def n_draws(self) -> int:
        """Random draws for each function."""
        return self.random_change.shape[1]

    @property
    def p(self) -> Float64[np.ndarray, " functions"]:
        """One-sided: (1 + draws whose own minus other is as large) / (1 + draws); NaN untested."""
        seen = self.own_minus_other
        larger = (self.random_own_minus_other >= seen[:, None]).sum(axis=1)
        return np.where(self.tested, (1.0 + larger) / (1.0 + self.n_draws), np.nan)


def _own_minus_other(change: Float64[np.ndarray, "functions others"]) -> np.ndarray:
    n = len(change)
    own = np.diagonal(change)
    return own - (change.sum(axis=1) - own) / max(n - 1, 1)
