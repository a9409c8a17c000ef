"""PlaceWatch: an observer that keeps, of every sequence and head, the attention at its places."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.places import Places, attention_at, on_device
from interp.heads.attention.reading import LayerView


class Watched(NamedTuple):
    """What a pass showed."""

    values: Float[np.ndarray, "sequences labels layers heads"]
    n_events: int
    """Queries that counted."""
    n_dropped: int
    """Sequences in which none did."""


class PlaceWatch:
    """Reads the places that `choose` names for each batch; drops sequences without a query."""

    needs = frozenset({"pattern"})

    def __init__(self, choose: Callable[[HeadBatch], Places]) -> None:
        self._choose = choose
        self._places: tuple[Tensor, Tensor] | None = None
        self._kept = np.zeros(0, bool)
        self._layers: list[Tensor] = []
        self._blocks: list[Float[np.ndarray, "batch labels layers heads"]] = []
        self._n_events = self._n_dropped = 0

    def see(self, view: LayerView) -> None:
        """The attention of one layer at the places of the batch."""
        if self._places is None:
            places = self._choose(view.batch)
            self._places = on_device(places, view.pattern.device)
            self._kept = places.n_queries > 0
            self._n_events += int(places.n_queries.sum())
            self._n_dropped += int((~self._kept).sum())
        self._layers.append(attention_at(view.pattern, *self._places))

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:  # noqa: ARG002
        """Keep the sequences in which some query counted."""
        by_layer = torch.stack(self._layers, dim=2).transpose(1, 3)
        self._blocks.append(by_layer.float().cpu().numpy()[self._kept])
        self._layers, self._places = [], None

    def finish(self) -> Watched:
        """Everything seen."""
        return Watched(np.concatenate(self._blocks), self._n_events, self._n_dropped)
