"""Ability weights cut along the chunks of a checkpoint."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from interp.abilities.moving.row_map import RowMap, Run
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.chunks import Chunk

Entries = tuple[Int64[Tensor, " found"] | None, Float[Tensor, " found"]]


class AbilityChunks:
    """Positions and weights of any chunk of a grid, read from the ability's file."""

    def __init__(
        self,
        weights: AbilityWeights,
        *,
        chunk: int,
        rows: Mapping[str, RowMap] | None = None,
    ) -> None:
        self.weights = weights
        self.rows: Mapping[str, RowMap] = rows or {}
        """By token table, which row stands for which of the base's; absent where all are alike."""
        self._chunk = chunk
        self._ends = {
            name: np.cumsum(tensor.support.counts(chunk)).tolist()
            for name, tensor in weights.tensors.items()
        }

    def entries(self, piece: Chunk) -> Entries | None:
        """Where in the piece (None for everywhere) and what; None if there is nothing."""
        if piece.name not in self._ends:
            return None
        if piece.name in self.rows:
            return self._aligned(piece)
        tensor = self.weights.tensors[piece.name]
        first, last = self._rank(piece.name, piece.start), self._rank(piece.name, piece.stop)
        if first == last:
            return None
        delta = torch.from_numpy(np.array(tensor.delta[first:last]))
        if tensor.support.encoding == "all":
            return None, delta
        return torch.from_numpy(tensor.support.positions(piece.start, piece.stop)), delta

    def _aligned(self, piece: Chunk) -> Entries | None:
        """The same where rows of the piece stand elsewhere in the ability's own tensor."""
        tensor = self.weights.tensors[piece.name]
        positions, deltas = [], []
        for run in self._runs(piece):
            stop = run.source + run.length
            positions.append(run.at + tensor.support.positions(run.source, stop))
            first, last = self._rank(piece.name, run.source), self._rank(piece.name, stop)
            deltas.append(tensor.delta[first:last])
        if not sum(found.size for found in positions):
            return None
        where, what = np.concatenate(positions), np.concatenate(deltas)
        return torch.from_numpy(where), torch.from_numpy(what)

    def _runs(self, piece: Chunk) -> Iterator[Run]:
        width = math.prod(self.weights.tensors[piece.name].support.shape[1:])
        return self.rows[piece.name].runs(piece.start, piece.stop, width=width)

    def _rank(self, name: str, entry: int) -> int:
        """How many entries of the support lie before one."""
        support, ends = self.weights.tensors[name].support, self._ends[name]
        number, rest = divmod(entry, self._chunk)
        before = ends[number - 1] if number else 0
        if not rest:
            return before
        if entry == support.n_entries:
            return ends[-1]
        return before + support.positions(entry - rest, entry).size

    def count(self, name: str) -> int:
        """Entries with a weight in one tensor."""
        return self.weights.tensors[name].support.count if name in self._ends else 0

    def apply_patch(self, piece: Chunk, words: np.ndarray) -> None:
        """Overwrite the entries of `words` whose exact value the sum would miss."""
        tensor = self.weights.tensors.get(piece.name)
        if tensor is None or not tensor.patch_positions.size:
            return
        whole = Run(0, piece.start, piece.stop - piece.start)
        for run in self._runs(piece) if piece.name in self.rows else [whole]:
            edges = np.array([run.source, run.source + run.length], dtype=np.uint64)
            first, last = np.searchsorted(tensor.patch_positions, edges)
            found = tensor.patch_positions[first:last].astype(np.int64) - run.source + run.at
            words.view(tensor.patch_bits.dtype)[found] = tensor.patch_bits[first:last]
