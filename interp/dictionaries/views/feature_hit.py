"""FeatureHit: a feature that a search found."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FeatureHit:
    """A feature that was found, and how far it stands above chance."""

    feature: int
    score: float
    """By token: lift, the share of its contexts that fire on the token over the token's share of
    all rows. By label: average precision. By likeness: cosine."""
    null: float
    """What chance gives: 1 for a lift, the base rate, the largest cosine of random directions."""
    q_value: float
    """Adjusted over all features (Benjamini and Hochberg); NaN for a likeness."""
    evidence: str
