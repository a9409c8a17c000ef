"""All contestants over the evaluated rows, in one pass after the pass that finds their mean."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.evaluation.contestants import Contestant
from interp.dictionaries.evaluation.firing import FiringCounts
from interp.dictionaries.evaluation.moments import RowMean
from interp.dictionaries.evaluation.reconstruction import row_statistics
from interp.dictionaries.evaluation.rows import RowReader, Span
from interp.results.errors import BadInput
from interp.results.sequence_sums import SequenceSums


class RowsMeasured(NamedTuple):
    """Sums of every contestant, and the firing of the dictionary's features."""

    sums: dict[str, SequenceSums]
    counts: FiringCounts
    centre: Float[Tensor, " d_out"]
    """Mean of the evaluated rows."""


def mean_of(reader: RowReader, spans: list[Span], *, batch_size: int) -> Float[Tensor, " d_out"]:
    """Mean of the evaluated rows. BadInput for NaN, infinity, or no text row."""
    mean: RowMean | None = None
    for batch in reader.batches(spans, batch_size=batch_size):
        mean = mean or RowMean(batch.target.shape[1])
        mean.update(batch.target)
    if mean is None:
        raise BadInput(
            f"{reader.store.path} holds special tokens only where it is evaluated: evaluate them "
            "too (--specials), or capture text"
        )
    return mean.finish()


@torch.no_grad()
def measure_rows(
    reader: RowReader,
    spans: list[Span],
    contestants: Sequence[Contestant],
    *,
    d_sae: int,
    batch_size: int,
    advance: Callable[..., None] = lambda *_: None,
) -> RowsMeasured:
    """Sums by sequence for every contestant; the first is the dictionary."""
    centre = mean_of(reader, spans, batch_size=batch_size)
    about = centre.to(reader.device)
    sums = {contestant.key: SequenceSums() for contestant in contestants}
    counts = FiringCounts(d_sae)
    for batch in reader.batches(spans, batch_size=batch_size):
        for contestant in contestants:
            coded = contestant.code(batch.source)
            statistics = row_statistics(batch.target, coded.output, coded.codes, about)
            sums[contestant.key].update(batch.sequence, statistics)
            if contestant is contestants[0]:
                counts.update(coded.codes)
        advance(len(batch.sequence))
    return RowsMeasured(sums, counts, centre)
