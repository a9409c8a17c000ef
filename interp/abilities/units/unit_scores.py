"""The score of every neuron, head, layer or tensor, from the scores of its entries."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64

from interp.abilities.streaming.topk import Scores
from interp.abilities.units.units import Layout
from interp.results.errors import BadInput

UnitScore = Literal["mean", "l2", "max"]
"""mean over the unit's entries, not their sum: units of one kind may differ in size. l2: the root
of their mean square."""


class _Sums(NamedTuple):
    total: Float64[np.ndarray, "..."]
    n: Float64[np.ndarray, "..."]


class UnitSums:
    """Sums of scores along the axis that units share a tensor out on; every kind follows.

    Memory is a number a row or column, however large the tensors. Entries are added one by one in
    flat order, so neither the size of the pieces nor the way a matrix is stored can change a bit.
    """

    def __init__(self, layout: Layout, *, how: UnitScore) -> None:
        self._layout = layout
        self._how = how
        self._along: dict[str, Float64[np.ndarray, " length"]] = {}

    def add(self, name: str, pieces: Iterable[Float[np.ndarray, " entries"]]) -> None:
        """All scores of one tensor, in pieces and in flat order. BadInput on NaN or infinity."""
        shape = self._layout.shapes[name]
        along = np.zeros(shape[0] if not shape else shape[self._layout.axis(name)])
        start = 0
        for piece in pieces:
            values = piece.astype(np.float64)
            if not np.isfinite(values).all():
                raise BadInput(f"a score in tensor {name!r} is NaN or infinite: it cannot rank")
            at = np.arange(start, start + values.size)
            inner = int(np.prod(shape[1:], dtype=np.int64))
            index = at // inner if self._layout.axis(name) == 0 else at % inner
            if self._how == "max":
                np.maximum.at(along, index, values)
            else:
                np.add.at(along, index, values if self._how == "mean" else values * values)
            start += values.size
        if start != self._layout.n_entries(name):
            raise BadInput(
                f"{start} scores came for the entries of {name!r}: every entry needs one"
            )
        self._along[name] = along

    def scores(self, kind: str) -> Float32[np.ndarray, "row unit"]:
        """The score of every unit of a kind, a row a layer (one row for all tensors).

        NaN where no entry of a unit was scored.
        """
        sums = self._whole_heads() if kind == "head" else self._sums(kind)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = sums.total if self._how == "max" else sums.total / sums.n
        value = np.sqrt(value) if self._how == "l2" else value
        return np.where(sums.n > 0, value, np.nan).astype(np.float32)

    def _sums(self, kind: str) -> _Sums:
        layout = self._layout
        sums = _Sums(*np.zeros((2, *layout.grid(kind))))
        for name, along in self._along.items():
            each = layout.n_entries(name) // max(along.size, 1)
            if kind == "tensor":
                row, owner = 0, np.full(along.size, list(layout.shapes).index(name))
            else:
                row = layout.layers[name]
                if row is None:
                    continue
                owner = np.zeros(along.size, int) if kind == "layer" else layout.owners(name, kind)
            mine = owner >= 0
            into = np.maximum if self._how == "max" else np.add
            into.at(sums.total[row], owner[mine], along[mine])
            np.add.at(sums.n[row], owner[mine], each)
        return sums

    def _whole_heads(self) -> _Sums:
        """A query head with the key and value head that it shares."""
        repeats = self._layout.sizes.heads_per_group
        query, shared = self._sums("q_head"), self._sums("kv_head")
        total, n = (np.repeat(part, repeats, axis=1) for part in shared)
        into = np.maximum if self._how == "max" else np.add
        return _Sums(into(query.total, total), query.n + n)


def unit_scores(
    layout: Layout, kind: str, names: Iterable[str], scores: Scores, *, how: UnitScore
) -> Float32[np.ndarray, "row unit"]:
    """The score of every unit of a kind, from the scores of the named tensors' entries."""
    sums = UnitSums(layout, how=how)
    for name in sorted(names):
        sums.add(name, scores(name))
    return sums.scores(kind)
