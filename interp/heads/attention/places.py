"""Attention at chosen places: for each label of a sequence, which keys of which queries count.

A label says which places a head of some kind would attend to; the first label is the true one and
the others are controls. All are read from a pattern at once, as sums of single entries.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Places(NamedTuple):
    """Entries of a query x key pattern, laid flat; unused slots have weight 0."""

    index: Int[np.ndarray, "batch labels slots"]
    """query * n_keys + key."""
    weight: Float[np.ndarray, "batch labels slots"]
    n_queries: Int[np.ndarray, " sequences"]
    """Queries of each sequence that count under the true label."""


def attention_at(
    pattern: Float[Tensor, "batch n_heads query key"],
    index: Int[Tensor, "batch labels slots"],
    weight: Float[Tensor, "batch labels slots"],
) -> Float[Tensor, "batch n_heads labels"]:
    """Sum of weight * attention over the places of each label."""
    batch, n_heads = pattern.shape[:2]
    labels, slots = index.shape[1:]
    wanted = index.flatten(1)[:, None].expand(batch, n_heads, labels * slots)
    found = pattern.flatten(2).gather(2, wanted)
    return (found.view(batch, n_heads, labels, slots) * weight[:, None]).sum(dim=-1)


def places_of_period(
    is_query: Bool[np.ndarray, "batch pos"],
    period: Int[np.ndarray, "batch labels"],
    *,
    start: int,
    lag: int,
) -> Places:
    """All keys one or more periods before a query, `lag` on: 0 its copies, 1 what followed them.

    A query counts if a key that is a whole number of periods back stands at `start` or later.
    """
    n_pos = is_query.shape[1]
    most = (n_pos - 1 - start) // int(period.min())
    query = np.arange(start, n_pos)[:, None]
    back = np.arange(1, most + 1) * period[..., None, None]
    copy = query - back
    valid = (copy >= start) & is_query[:, None, start:, None]
    n_queries = valid.any(axis=-1).sum(axis=-1)
    index = np.where(valid, query * n_pos + copy + lag, 0)
    flat, kept = _packed(index.reshape(*period.shape, -1), valid.reshape(*period.shape, -1))
    weight = kept / np.maximum(n_queries, 1)[..., None]
    return Places(flat, weight.astype(np.float32), n_queries[:, 0])


def _packed(
    index: Int[np.ndarray, "batch labels slots"], valid: Bool[np.ndarray, "batch labels slots"]
) -> tuple[Int[np.ndarray, "batch labels used"], Bool[np.ndarray, "batch labels used"]]:
    """Without the slots that no label uses: valid ones first."""
    used = max(int(valid.sum(axis=-1).max()), 1)
    order = np.argsort(~valid, axis=-1, kind="stable")[..., :used]
    return np.take_along_axis(index, order, axis=-1), np.take_along_axis(valid, order, axis=-1)


def on_device(places: Places, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index and weight as tensors."""
    return torch.from_numpy(places.index).to(device), torch.from_numpy(places.weight).to(device)
