"""Copying heads: what they attend to is what they raise."""

from interp.heads.conclusion import concluded_by_sequence
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.writing.observers import RepeatObserver, over_defined
from interp.heads.writing.repeated import RepeatWrites


def _observe(scoring: Scoring) -> RepeatObserver:
    def conclude(writes: RepeatWrites) -> HeadScores:
        values = 2 * over_defined(writes.copying)[..., None] - 1
        return concluded_by_sequence(DETECTOR, scoring, values=values)

    return RepeatObserver(scoring, conclude)


DETECTOR = Detector(
    name="copying",
    version=1,
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
    null="another token of the sample in place of the attended one, by a random cyclic shift",
    observe=_observe,
)
