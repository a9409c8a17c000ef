"""Offset heads: how much of a head's attention goes a fixed number of tokens back, beyond one."""

from interp.heads.detector import Detector, Scoring
from interp.heads.offsets import CHANCE, NULL, OffsetObserver

OFFSETS = (2, 3)


def _observe(scoring: Scoring) -> OffsetObserver:
    offsets = tuple(scoring.options.get("offsets") or OFFSETS)
    columns = [
        DETECTOR.column(
            f"offset.{k}", definition=f"mean over queries of the attention {k} tokens back"
        )
        for k in offsets
    ]
    return OffsetObserver(DETECTOR, scoring, offsets=offsets, columns=columns)


DETECTOR = Detector(
    name="offset",
    version=1,
    definition="mean over queries i >= k of the attention to the token k back; a column for each k",
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; any distance",
    unit="share of attention",
    needs=frozenset({"attention"}),
    inputs="text",
    low=0.0,
    high=1.0,
    chance=CHANCE,
    null=NULL,
    observe=_observe,
    options=("offsets",),
)
