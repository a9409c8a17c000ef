"""Ability weights cut along the chunks of a checkpoint."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from interp.abilities.streaming.chunks import Chunk
from interp.abilities.weights import AbilityWeights

Entries = tuple[Int64[Tensor, " found"] | None, Float[Tensor, " found"]]


class AbilityChunks:
    """Positions and weights of any chunk of a grid, read from the ability's file."""

    def __init__(self, weights: AbilityWeights, *, chunk: int) -> None:
        self.weights = weights
        self._chunk = chunk
        self._ends = {
            name: np.cumsum(tensor.support.counts(chunk)).tolist()
            for name, tensor in weights.tensors.items()
        }

    def entries(self, piece: Chunk) -> Entries | None:
        """Where in the piece (None for everywhere) and what; None if there is nothing."""
        if piece.name not in self._ends:
            return None
        tensor = self.weights.tensors[piece.name]
        first, last = self._rank(piece.name, piece.start), self._rank(piece.name, piece.stop)
        if first == last:
            return None
        delta = torch.from_numpy(np.array(tensor.delta[first:last]))
        if tensor.support.encoding == "all":
            return None, delta
        return torch.from_numpy(tensor.support.positions(piece.start, piece.stop)), delta

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
        edges = np.array([piece.start, piece.stop], dtype=np.uint64)
        first, last = np.searchsorted(tensor.patch_positions, edges)
        found = tensor.patch_positions[first:last].astype(np.int64) - piece.start
        words.view(tensor.patch_bits.dtype)[found] = tensor.patch_bits[first:last]
