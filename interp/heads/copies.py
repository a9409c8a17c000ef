"""Heads that look for earlier copies of a token in repeated random tokens."""

import numpy as np

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.places import Places, places_of_period
from interp.heads.attention.watching import PlaceWatch
from interp.heads.conclusion import concluded_by_sequence
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput

NULL = (
    "the same sum as if the repeats had another length, one drawn for every sequence; any lasting "
    "taste for copies counts, also the small one that random weights can have"
)


class CopyObserver:
    """Attention to all earlier copies of the query's token (lag 0) or to what followed them (1).

    Within a repeat no token comes twice, so copies stand whole periods back. A control label is
    another period from the same distribution: a head that looks a fixed distance back, or spreads
    its attention, cannot tell it from the true one.
    """

    needs = frozenset({"pattern"})

    def __init__(self, detector: Detector, scoring: Scoring, *, lag: int) -> None:
        self._detector, self._scoring, self._lag = detector, scoring, lag
        low, high = scoring.inputs["repeated"]["periods"]
        rng = scoring.rng(f"{detector.name}/controls")
        self._watch = PlaceWatch(lambda batch: self._places(batch, rng, low, high))
        self.see, self.end_batch = self._watch.see, self._watch.end_batch

    def _places(self, batch: HeadBatch, rng: np.random.Generator, low: int, high: int) -> Places:
        if batch.period is None:
            raise BadInput(f"{self._detector.name} reads repeated tokens: none were fed")
        shape = (batch.size, self._scoring.controls)
        controls = rng.integers(low, high, size=shape, endpoint=True)
        period = np.concatenate([batch.period[:, None], controls], axis=1)
        return places_of_period(batch.is_query, period, start=batch.start, lag=self._lag)

    def finish(self) -> HeadScores:
        """Scores, the null of other periods, intervals over sequences."""
        seen = self._watch.finish()
        return concluded_by_sequence(
            self._detector,
            self._scoring,
            values=seen.values[..., None].astype(np.float64),
            n_events=float(seen.n_events),
        )
