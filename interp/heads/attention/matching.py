"""How well attention matches a detection matrix, one entry of which says where a head should look.

    mul = sum(A * D) / sum(A)            abs = 1 - sum |A - D| / rows

`rows="all"` sums over every query, as TransformerLens's detect_head does; `rows="eligible"` over
those that D says anything of, without BOS. A row of A sums to 1, so only entries where D is not 0
are read.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.results.errors import BadInput

Measure = Literal["mul", "abs"]
Rows = Literal["eligible", "all"]
NAMED = ("previous_token_head", "duplicate_token_head", "induction_head")


class Entries(NamedTuple):
    """The entries of detection matrices that are not 0, and the rows that count."""

    query: Int[np.ndarray, "batch slots"]
    key: Int[np.ndarray, "batch slots"]
    value: Float[np.ndarray, "batch slots"]
    """0 in unused slots."""
    n_rows: Int[np.ndarray, " batch"]


def detection_matrix(
    name: str, tokens: Int[np.ndarray, "batch pos"]
) -> Float[np.ndarray, "batch pos pos"]:
    """Where a head of that name looks, by the tokens alone (those of TransformerLens)."""
    n = tokens.shape[1]
    same = tokens[:, :, None] == tokens[:, None, :]
    same[:, np.arange(n), np.arange(n)] = False
    earlier = np.tril(same)
    if name == "previous_token_head":
        found = np.broadcast_to(np.eye(n, k=-1), same.shape)
    elif name == "duplicate_token_head":
        found = earlier
    elif name == "induction_head":
        found = np.zeros_like(earlier)
        found[:, :, 1:] = earlier[:, :, :-1]
    else:
        raise BadInput(f"no head {name!r}: give {', '.join(NAMED)} or a matrix")
    return found.astype(np.float64)


def entries_of(
    matrix: Float[np.ndarray, "_ pos pos"],
    *,
    is_query: Bool[np.ndarray, "batch pos"],
    mask: Bool[np.ndarray, "batch pos"],
    rows: Rows,
) -> Entries:
    """What of each sequence's matrix counts."""
    used = (matrix != 0) & mask[:, :, None] & mask[:, None, :]
    counted = mask if rows == "all" else is_query & used.any(axis=2)
    used &= counted[:, :, None]
    slots = max(int(used.sum(axis=(1, 2)).max()), 1)
    flat = used.reshape(len(used), -1)
    order = np.argsort(~flat, axis=1, kind="stable")[:, :slots]
    every = np.broadcast_to(matrix, used.shape).reshape(len(used), -1)
    value = np.take_along_axis(np.where(flat, every, 0.0), order, axis=1)
    query, key = np.divmod(order, matrix.shape[-1])
    return Entries(query, key, value, counted.sum(axis=1))


def matched(
    pattern: Float[Tensor, "batch n_heads query key"],
    query: Int[Tensor, "batch labels slots"],
    key: Int[Tensor, "batch labels slots"],
    value: Float[Tensor, "batch slots"],
    n_rows: Float[Tensor, " batch"],
    *,
    measure: Measure,
) -> Float[Tensor, "batch n_heads labels"]:
    """`mul` or `abs` of every head, for each of several places to put the same values."""
    batch, n_heads, _, n_keys = pattern.shape
    index = (query * n_keys + key).flatten(1)[:, None].expand(batch, n_heads, -1)
    found = pattern.flatten(2).gather(2, index).view(batch, n_heads, *key.shape[1:])
    wanted = value[:, None, None]
    rows = n_rows[:, None, None].clamp(min=1)
    if measure == "mul":
        return (found * wanted).sum(dim=-1) / rows
    off = torch.where(wanted != 0, (found - wanted).abs() - found, 0.0).sum(dim=-1)
    return 1 - (rows + off) / rows


def row_permutations(
    n_pos: int, draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "draws pos pos"]:
    """For every query, its keys in random order; keys after it stay where they are."""
    order = rng.random((draws, n_pos, n_pos))
    later = np.arange(n_pos)[None, :] > np.arange(n_pos)[:, None]
    order[:, later] = 2 + np.broadcast_to(np.arange(n_pos), (n_pos, n_pos))[later]
    return order.argsort(axis=-1)
