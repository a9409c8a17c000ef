"""Heads that look a fixed number of tokens back: their score against all other distances."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.distances import ByDistance, DistanceWatch
from interp.heads.attention.reading import LayerView
from interp.heads.columns import Column
from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import sequence_bootstrap
from interp.results.errors import BadInput

CHANCE = "uniform attention: the mean of 1 / (i + 1) over query positions i"
NULL = (
    "the same sum at every other distance, all queries and sequences turned alike; any lasting "
    "taste for the distance counts, also the small one that random weights can have"
)


class OffsetObserver:
    """Attention some numbers of tokens back, a column each.

    The null turns all distances round together: a draw scores every column, in every sequence, so
    many tokens further back; turns that bring one column to the distance of another are left out.
    There are as many draws as distances, so p is at least 1 / distances. Sequences share a turn
    because a head's taste for a distance is shared: were it drawn for each by itself, any such
    taste of an untrained model would be significant.
    """

    needs = frozenset({"pattern"})

    def __init__(
        self,
        detector: Detector,
        scoring: Scoring,
        *,
        offsets: Sequence[int],
        columns: Sequence[Column],
    ) -> None:
        n_labels = scoring.lengths["text"] - 1
        if not offsets or min(offsets) < 1 or max(offsets) > n_labels:
            raise BadInput(
                f"offsets {list(offsets)}: give tokens back, from 1 to {n_labels} (sequences have "
                f"{n_labels + 1} tokens)"
            )
        self._detector, self._scoring = detector, scoring
        self._offsets, self._columns = tuple(offsets), tuple(columns)
        self._watches = [DistanceWatch(k, n_distances=n_labels) for k in self._offsets]

    def see(self, view: LayerView) -> None:
        """One layer, at every distance."""
        for watch in self._watches:
            watch.see(view)

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:
        """Keep what was seen."""
        for watch in self._watches:
            watch.end_batch(batch, final_scale=final_scale)

    def finish(self) -> HeadScores:
        """Scores, the null of all other distances, intervals over sequences."""
        seen = [watch.finish() for watch in self._watches]
        pairs = [*zip(seen, self._offsets, strict=True)]
        rng = self._scoring.rng(f"{self._detector.name}/bootstrap")
        ends = [_ends(s, rng, self._scoring.bootstrap) for s in seen]
        means = [_turned(s, k) for s, k in pairs]
        return concluded(
            self._detector,
            self._scoring,
            columns=self._columns,
            observed=np.stack([mean[0] for mean in means], axis=-1),
            draws=np.stack([mean[self._turns()] for mean in means], axis=-1),
            interval=np.stack(ends, axis=-1),
            n_events=_counts([s.n_events for s in seen], means[0]),
            n_sequences=_counts([len(s.true) for s in seen], means[0]),
            notes={
                column.name: {"sequences_without_a_query": s.n_dropped}
                for column, s in zip(self._columns, seen, strict=True)
            },
            settings={"offsets": list(self._offsets)},
            more_draws="longer sequences, which have more distances,",
        )

    def _turns(self) -> list[int]:
        n = self._scoring.lengths["text"] - 1
        taken = {(other - own) % n for own in self._offsets for other in self._offsets}
        return [turn for turn in range(1, n) if turn not in taken]


def _turned(seen: ByDistance, offset: int) -> Float[np.ndarray, "distances layers heads"]:
    """Means by distance, the true one first and the others in order after it."""
    return np.roll(seen.every, 1 - offset, axis=0)


def _ends(
    seen: ByDistance, rng: np.random.Generator, draws: int
) -> Float[np.ndarray, "2 layers heads"]:
    ends = sequence_bootstrap(seen.true.reshape(len(seen.true), -1), draws=draws, rng=rng)
    return ends.reshape(2, *seen.true.shape[1:])


def _counts(
    numbers: list[int], means: Float[np.ndarray, "labels layers heads"]
) -> Float[np.ndarray, "layers heads columns"]:
    return np.broadcast_to(np.array(numbers, float), (*means.shape[1:], len(numbers)))
