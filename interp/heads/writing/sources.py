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
    step: Int[np.ndarray, "places labels"]
    """0 and, as controls, how many tokens further on in the sequence to ask instead."""


class AttendedSources:
    """One source a place and head: which token it is, how much attention it has, what is read.

    The source is the key with the most attention among the text at or before the query; special
    tokens at the start, on which many heads rest, are left out.
    """

    needs: frozenset[str] | set[str] = frozenset({"pattern", "v"})

    def __init__(self, *, controls: int, seed: int) -> None:
        self.controls, self.seed = controls, seed
        self._parts: list[_Part] = []
        self._now: _Part | None = None

    def see(self, view: LayerView) -> None:
        """Reduce one layer of a batch."""
        if self._now is None:
            self._now = _Part(view.batch, _places(view.batch, self.controls, self.seed))
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

    def tokens(self, layer: int) -> Int[Tensor, "places n_heads labels"]:
        """The source's id, then those of the controls."""
        return torch.cat([part.tokens[layer] for part in self._parts])


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
        self.tokens.append(self._asked(row, key, text))

    def _asked(
        self,
        row: Int[Tensor, " places"],
        key: Int[Tensor, "places n_heads"],
        text: Tensor,
    ) -> Int[Tensor, "places n_heads labels"]:
        first = text.int().argmax(dim=-1)[row][:, None, None]
        n = text.sum(dim=-1)[row][:, None, None]
        step = torch.from_numpy(self.places.step).to(key.device)[:, None, :]
        at = first + (key[:, :, None] - first + step) % n
        ids = torch.from_numpy(self.batch.tokens.astype(np.int64)).to(key.device)
        return ids[row[:, None, None], at]


def _places(batch: HeadBatch, controls: int, seed: int) -> Places:
    rows, queries, steps = [], [], []
    for row in range(batch.size):
        text = np.flatnonzero(batch.is_query[row])
        if len(text) < 2:
            continue
        rng = np.random.default_rng([seed, int(batch.sequence[row])])
        chosen = rng.choice(text[1:], size=min(QUERIES, len(text) - 1), replace=False)
        for query in np.sort(chosen):
            rows.append(row)
            queries.append(int(query))
            steps.append([0, *(1 + rng.integers(0, len(text) - 1, size=controls))])
    return Places(
        sequence=np.array(rows, dtype=np.int64),
        query=np.array(queries, dtype=np.int64),
        step=np.array(steps, dtype=np.int64).reshape(len(rows), 1 + controls),
    )
