"""Copying heads: what they attend to is what they raise."""

from interp.heads.conclusion import concluded_by_token
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.writing.observers import RepeatObserver
from interp.heads.writing.repeated import RepeatWrites


def _observe(scoring: Scoring) -> RepeatObserver:
    def conclude(writes: RepeatWrites) -> HeadScores:
        by_block = writes.copied_by_block
        return concluded_by_token(
            DETECTOR,
            scoring,
            by_block=2 * by_block - 1 / len(by_block),
            by_sequence=2 * writes.copying - 1,
        )

    return RepeatObserver(scoring, conclude)


DETECTOR = Detector(
    name="copying",
    version=2,
    definition=(
        "2 r - 1, where r is the share of the attended token, weighted by attention, in all that "
        "the head's write raises among a sample of random tokens, none repeated"
    ),
    source="arXiv 2209.11895, appendix on copying; the scale there ends at .5, here at 1",
    unit="ratio",
    needs=frozenset({"attention", "values"}),
    inputs="random",
    low=-1.0,
    high=1.0,
    chance="2 / n - 1 for a sample of n tokens",
    null=(
        "another token of the sample in place of the attended one, the same few wherever that "
        "stands and for all heads"
    ),
    observe=_observe,
)
