"""FeatureView: everything that was found about one feature, in words and numbers of its own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from interp.results.escape import html_text, visible
from interp.results.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class ContextView:
    """One place where the feature fires."""

    row: int
    """Number in the store."""
    activation: float
    """With its sign."""
    band: int
    """Which quarter of its firings by |activation|, 0 the weakest."""
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    along: Float[np.ndarray, " pos"]
    """Activation on each token."""
    marked: int
    """Index of the token that the context is about."""
    between: str = ""
    """What stands between two tokens: a space where the tokens are words without one."""

    @property
    def token_id(self) -> int:
        """Id of that token."""
        return self.token_ids[self.marked]

    @property
    def line(self) -> str:
        """The text with that token in «»; not escaped."""
        tokens = list(self.tokens)
        tokens[self.marked] = f"«{tokens[self.marked]}»"
        return self.between.join(tokens)


@dataclass(frozen=True, kw_only=True)
class Partner:
    """Another feature, neuron or token, and how strongly it goes with this feature."""

    index: int
    name: str
    strength: float


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A feature that fires on the same rows."""

    feature: int
    phi: float
    together: int
    expected: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How well the feature tells one value of a label."""

    column: str
    value: int
    average_precision: Interval
    """The interval is what binning leaves open, not sampling."""
    base_rate: float
    fired: int
    expected: float
    """By chance."""
    n: int
    unit: str
    q_value: float


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """One feature of a dictionary over the rows of a store."""

    feature: int
    n_rows: int
    n_active: int
    density: Interval
    mean: float
    """Of |activation| where it fires, as are the maximum, the quantiles and the histogram."""
    max: float
    quantiles: dict[float, float]
    histogram: Int[np.ndarray, " n_bins"]
    strongest: tuple[ContextView, ...]
    sampled: tuple[ContextView, ...]
    """Evenly drawn from all its firings, the strongest first."""
    token_rows: dict[int, int]
    """Rows of every token that a context fires on."""
    neighbours: tuple[Partner, ...]
    neighbour_null: float
    companions: tuple[Companion, ...]
    neurons: tuple[Partner, ...]
    """Empty where no second site was given."""
    neuron_null: float
    promoted: tuple[Partner, ...]
    """Empty where no model was given."""
    suppressed: tuple[Partner, ...]
    logit_null: float
    detections: tuple[Detection, ...]
    """Highest average precision over its base rate first."""

    def __repr__(self) -> str:
        strongest = " | ".join(visible(context.line, limit=120) for context in self.strongest[:3])
        return (
            f"FeatureView({self.feature}: fires on {self.n_active:,} of {self.n_rows:,} rows, "
            f"density {self.density}; {strongest})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>"
