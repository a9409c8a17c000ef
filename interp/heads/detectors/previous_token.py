"""Previous-token heads: how much of a head's attention goes one token back."""

from interp.heads.detector import Detector, Scoring
from interp.heads.offsets import CHANCE, NULL, OffsetObserver


def _observe(scoring: Scoring) -> OffsetObserver:
    return OffsetObserver(DETECTOR, scoring, offsets=(1,), columns=(DETECTOR.column(),))


DETECTOR = Detector(
    name="previous_token",
    version=1,
    definition="mean over queries of the attention to the token just before",
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits",
    unit="share of attention",
    needs=frozenset({"attention"}),
    inputs="text",
    low=0.0,
    high=1.0,
    chance=CHANCE,
    null=NULL,
    observe=_observe,
)
