"""Anti-induction heads: they lower the token that came next the last time."""

from interp.heads.conclusion import concluded_by_sequence
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.writing.observers import RepeatObserver
from interp.heads.writing.repeated import RepeatWrites


def _observe(scoring: Scoring) -> RepeatObserver:
    def conclude(writes: RepeatWrites) -> HeadScores:
        return concluded_by_sequence(DETECTOR, scoring, values=-writes.target_logit[..., None])

    return RepeatObserver(scoring, conclude)


DETECTOR = Detector(
    name="anti_induction",
    version=1,
    definition=(
        "minus the logit that the head writes, by the direct path, for the token after the earlier "
        "copy in repeated random tokens, relative to the mean over the repeated ones; below 0: it "
        "raises that token, as an induction head does"
    ),
    source="arXiv 2310.04625, section on anti-induction heads (negative induction score)",
    unit="nats",
    needs=frozenset({"values"}),
    inputs="repeated",
    low=None,
    high=None,
    chance="0",
    null="another of the repeated tokens as the target, by a random cyclic shift",
    observe=_observe,
)
