"""Prefix-matching heads: how much of a head's attention goes to what followed the token before.

Summed over all earlier occurrences of a query: averaged over them, a perfect head on four repeats
could not exceed one half, and arXiv 2209.11895 reports more.
"""

from interp.heads.copies import NULL, CopyObserver
from interp.heads.detector import Detector, Scoring


def _observe(scoring: Scoring) -> CopyObserver:
    return CopyObserver(DETECTOR, scoring, lag=1)


DETECTOR = Detector(
    name="prefix_matching",
    version=1,
    definition="mean over queries with an earlier copy of the attention to the tokens after copies",
    source="arXiv 2209.11895, appendix on head activation evaluators, with its 2022 erratum",
    unit="share of attention",
    needs=frozenset({"attention"}),
    inputs="repeated",
    low=0.0,
    high=1.0,
    chance="as many earlier keys at another distance",
    null=NULL,
    observe=_observe,
)
