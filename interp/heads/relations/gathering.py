"""BatchEvents: the planned events of one batch, as tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.events import MAX_CONTROLS, SequenceEvents
from interp.heads.relations.written import candidate_columns


class BatchEvents(NamedTuple):
    """The events of a batch: those of its sequences, one after another."""

    sequences: tuple[SequenceEvents, ...]
    candidates: Int[Tensor, "batch n"]
    columns: Float[Tensor, "batch d_model n"]
    tokens: Int[Tensor, "batch pos"]
    batch: Int[Tensor, " events"]
    position: Int[Tensor, " events"]
    anchors: Int[Tensor, "events mentions"]
    triplet: Int[Tensor, " events"]
    """Counted over the batch."""
    tested: Bool[Tensor, " events"]
    mask: Bool[Tensor, "events n"]
    """Which candidates take part."""
    labels: Int[Tensor, "triplets labels"]

    @property
    def n_triplets(self) -> int:
        """Triplets of all its sequences."""
        return len(self.labels)


def batch_events(
    places: Sequence[tuple[int, SequenceEvents]],
    batch: HeadBatch,
    choices: RelationChoices,
    geometry: HeadGeometry,
) -> BatchEvents:
    sequences = tuple(s for _, s in places)
    offsets = np.cumsum([0, *(len(s.relation) for s in sequences[:-1])])
    n = max(len(s.candidates) for s in sequences)
    mentions = max(s.anchors.shape[1] for s in sequences)
    candidates = np.zeros((batch.size, n), np.int64)
    masks = []
    for row, s in places:
        candidates[row, : len(s.candidates)] = s.candidates
        seen = s.first_seen[None, :] <= s.position[:, None]
        masks.append(_widened(seen & s.allowed[s.triplet], n, fill=False))
    on = geometry.device

    def whole(arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(on)

    ids = torch.from_numpy(candidates).to(on)
    return BatchEvents(
        sequences=sequences,
        candidates=ids,
        columns=candidate_columns(geometry, choices, ids),
        tokens=torch.from_numpy(batch.tokens.astype(np.int64)).to(on),
        batch=whole([np.full(len(s.position), row, np.int64) for row, s in places]),
        position=whole([s.position for s in sequences]),
        anchors=whole([_widened(s.anchors, mentions, fill=-1) for s in sequences]),
        triplet=whole([s.triplet + offset for s, offset in zip(sequences, offsets, strict=True)]),
        tested=whole([s.tested for s in sequences]),
        mask=whole(masks),
        labels=whole([_widened(s.labels, 1 + MAX_CONTROLS, fill=-1) for s in sequences]),
    )


def _widened(rows: np.ndarray, width: int, *, fill: int | bool) -> np.ndarray:
    wide = np.full((len(rows), width), fill, rows.dtype)
    wide[:, : rows.shape[1]] = rows
    return wide
