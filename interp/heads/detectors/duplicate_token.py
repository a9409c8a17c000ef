"""Duplicate-token heads: how much of a head's attention goes to earlier copies of the token."""

from interp.heads.copies import NULL, CopyObserver
from interp.heads.detector import Detector, Scoring


def _observe(scoring: Scoring) -> CopyObserver:
    return CopyObserver(DETECTOR, scoring, lag=0)


DETECTOR = Detector(
    name="duplicate_token",
    version=1,
    definition="mean over queries with an earlier copy of the attention to all earlier copies",
    source="arXiv 2211.00593, section 3",
    unit="share of attention",
    needs=frozenset({"attention"}),
    inputs="repeated",
    low=0.0,
    high=1.0,
    chance="as many earlier keys at another distance",
    null=NULL,
    observe=_observe,
)
