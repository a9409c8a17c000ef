"""Detectors that share one RepeatWrites: it reads each layer once, each concludes for itself."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from interp.heads.attention import LayerView
from interp.heads.attention.batch import HeadBatch
from interp.heads.detector import Scoring
from interp.heads.scores import HeadScores
from interp.heads.writing.repeated import RepeatWrites


class RepeatObserver:
    """An observer of repeated tokens that concludes from the shared RepeatWrites."""

    needs: frozenset[str] | set[str] = RepeatWrites.needs

    def __init__(self, scoring: Scoring, conclude: Callable[[RepeatWrites], HeadScores]) -> None:
        self._writes = scoring.shared(
            "repeat writes", lambda: RepeatWrites(controls=scoring.controls, seed=scoring.seed)
        )
        self._conclude = conclude

    def see(self, view: LayerView) -> None:
        """Take in one layer."""
        self._writes.see(view)

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """After the last layer of a batch."""
        self._writes.end_batch(batch, final_scale=final_scale)

    def finish(self) -> HeadScores:
        """After the last batch."""
        return self._conclude(self._writes)
