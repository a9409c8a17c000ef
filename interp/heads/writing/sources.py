"""AttendedSources: at some places of a text, the token each head attends to most and its value."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.attention import LayerView
from interp.heads.attention.batch import HeadBatch

QUERIES = 2
"""Places asked about in each sequence, the same for all heads."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """What is asked of one batch."""

    sequence: Int[np.ndarray, " places"]
    """Row of the batch."""
    query: Int[np.ndarray, " places"]


class AttendedSources:
    """One source a place and head: which token it is, how much attention it has, what is read.

    The source is the key with the most attention among the text at or before the query; special
    tokens at the start, on which many heads rest, are left out.
    """

    needs: frozenset[str] | set[str] = frozenset({"pattern", "v"})

    def __init__(self, *, seed: int) -> None:
        self.seed = seed
        self._parts: list[_Part] = []
        self._now: _Part | None = None

    def see(self, view: LayerView) -> None:
        """Reduce one layer of a batch."""
        if self._now is None:
            self._now = _Part(view.batch, _places(view.batch, self.seed))
        self._now.read(view)

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """After the last layer of a batch."""
        del batch, final_scale
        if self._now is not None:
            self._parts.append(self._now)
        self._now = None

    @property
    def sequence(self) -> Int[np.ndarray, " places"]:
        """Number of each place's sequence in the corpus."""
        return np.concatenate([part.batch.sequence[part.places.sequence] for part in self._parts])

    def attention(self, layer: int) -> Float[np.ndarray, "places n_heads"]:
        """Attention of each head to its source."""
        return torch.cat([part.attention[layer] for part in self._parts]).cpu().numpy()

    def values(self, layer: int) -> Float[Tensor, "places n_heads d_head"]:
        """What each head reads of its source."""
        return torch.cat([part.values[layer] for part in self._parts])

    def tokens(self, layer: int) -> Int[np.ndarray, "places n_heads"]:
        """Each source's id."""
        return torch.cat([part.tokens[layer] for part in self._parts]).cpu().numpy()

    @property
    def text(self) -> tuple[Int[np.ndarray, " ids"], Int[np.ndarray, " ids"]]:
        """The ids of the text that was read, in order, and how often each occurs."""
        read = [part.batch.tokens[part.batch.is_query] for part in self._parts]
        ids, counts = np.unique(np.concatenate(read), return_counts=True)
        return ids.astype(np.int64), counts


@dataclass
class _Part:
    batch: HeadBatch
    places: Places
    attention: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    tokens: list[Tensor] = field(default_factory=list)

    def read(self, view: LayerView) -> None:
        device = view.pattern.device
        row = torch.from_numpy(self.places.sequence).to(device)
        query = torch.from_numpy(self.places.query).to(device)
        text = torch.from_numpy(self.batch.is_query).to(device)
        attention = view.pattern[row, :, query].masked_fill(~text[row][:, None], -1.0)
        most, key = attention.max(dim=-1)
        heads = torch.arange(attention.shape[1], device=device)
        self.attention.append(most.clamp_min(0))
        self.values.append(view.v[row[:, None], key, heads].clone())
        ids = torch.from_numpy(self.batch.tokens.astype(np.int64)).to(device)
        self.tokens.append(ids[row[:, None], key])


def _places(batch: HeadBatch, seed: int) -> Places:
    rows, queries = [], []
    for row in range(batch.size):
        text = np.flatnonzero(batch.is_query[row])
        if len(text) < 2:
            continue
        rng = np.random.default_rng([seed, int(batch.sequence[row])])
        chosen = rng.choice(text[1:], size=min(QUERIES, len(text) - 1), replace=False)
        for query in np.sort(chosen):
            rows.append(row)
            queries.append(int(query))
    return Places(sequence=np.array(rows, dtype=np.int64), query=np.array(queries, dtype=np.int64))
