"""Describer: a function from one feature's view to words, with the evidence for them."""

from collections.abc import Callable
from dataclasses import dataclass

from interp.dictionaries.views.feature_view import FeatureView
from interp.results.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a feature seems to stand for, and how well that holds on contexts not used for it."""

    feature: int
    text: str
    describer: str
    recall: Interval
    """Share of held-out firings that the description foretells; NaN where it foretells nothing."""
    precision: Interval
    """Share of the rows that the description names on which the feature fires."""
    base_rate: float
    """The precision by chance: the feature's density."""
    n_held_out: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Describer:
    """A way to put a feature into words."""

    name: str
    describe: Callable[[FeatureView], Description]
