"""Which features of two dictionaries point the same way: best matches, pairs, and their null.

Everything runs in blocks, so that 16k by 16k features never stand in memory at once.

found = best_matches(directions(one), directions(other))
found.cosine, found.index
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from interp.results.errors import BadInput, Mismatch, Unsupported

SHARED_AT = 0.7
"""Cosine from which two features count as one, the convention of the literature on seeds."""
EXACT_PAIRS = 3072
"""Features up to which pairs are the best of all assignments; above, mutual best matches."""
_AT_ONCE = 1 << 24

Side = Literal["decoder", "encoder"]


class Matches(NamedTuple):
    """For every feature of one dictionary, the nearest of another."""

    index: Int64[np.ndarray, " n"]
    cosine: Float[np.ndarray, " n"]
    """NaN for a feature without a direction (a zero row)."""


class Pairs(NamedTuple):
    """Features of two dictionaries, each at most once."""

    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]
    cosine: Float[np.ndarray, " pairs"]


def directions(sae: Any, side: Side = "decoder") -> Float[Tensor, "d_sae d"]:
    """What each feature writes (`decoder`, rows of W_dec) or reads (`encoder`, columns of W_enc).

    Unsupported for an architecture without such a matrix.
    """
    weight = getattr(sae, "W_dec" if side == "decoder" else "W_enc", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise Unsupported(f"a {sae.cfg.architecture()} dictionary has no {side} directions")
    found = weight.detach() if side == "decoder" else weight.detach().T
    return found.float()


def best_matches(
    first: Float[Tensor, "n d"], second: Float[Tensor, "m _"], *, skip_self: bool = False
) -> Matches:
    """For each row of `first`, the row of `second` with the largest cosine; ties to the lowest.

    `skip_self` leaves out the row of the same number: nearest neighbours within one dictionary.
    Raises Mismatch for rows of different widths.
    """
    if skip_self and len(second) < 2:
        raise BadInput("a dictionary of one feature has no neighbours")
    index, cosine = [], []
    for start, block in similarity_blocks(first, second):
        if skip_self:
            own = torch.arange(len(block), device=block.device)
            block[own, own + start] = -2.0
        best = block.max(dim=1)
        index.append(best.indices.cpu().numpy())
        cosine.append(best.values.cpu().numpy())
    found = np.concatenate(cosine).clip(-1, 1) if cosine else np.zeros(0, np.float32)
    found[(first.norm(dim=1) == 0).cpu().numpy()] = np.nan
    return Matches(np.concatenate(index) if index else np.zeros(0, np.int64), found)


def similarity_blocks(
    first: Float[Tensor, "n d"], second: Float[Tensor, "m _"]
) -> Iterator[tuple[int, Float[Tensor, "rows m"]]]:
    """Cosines of some rows of `first` with all of `second`, with the number of the first row."""
    if first.shape[1] != second.shape[1]:
        raise Mismatch(
            f"features of width {first.shape[1]} and {second.shape[1]} cannot be compared: "
            "take dictionaries of one site, or of sites of one width"
        )
    one, other = unit_rows(first), unit_rows(second).T
    step = max(1, _AT_ONCE // max(len(second), 1))
    for start in range(0, len(one), step):
        yield start, one[start : start + step] @ other


def one_to_one(first: Float[Tensor, "n d"], second: Float[Tensor, "m _"]) -> Pairs:
    """Pairs of features, each used once, sorted by the first's number.

    Up to EXACT_PAIRS features a side the assignment with the largest sum of cosines (Hungarian
    method); above it, the features that are each other's best match.
    """
    if max(len(first), len(second)) <= EXACT_PAIRS:
        cosine = torch.cat([block for _, block in similarity_blocks(first, second)]).cpu().numpy()
        one, other = linear_sum_assignment(cosine, maximize=True)
        return Pairs(one.astype(np.int64), other.astype(np.int64), cosine[one, other])
    there, back = _both_ways(first, second)
    mutual = np.flatnonzero(back[there.index] == np.arange(len(there.index)))
    return Pairs(mutual, there.index[mutual], there.cosine[mutual])


def random_directions(n: int, d: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Directions drawn evenly from the sphere: what has nothing to do with any dictionary."""
    return unit_rows(torch.randn(n, d, generator=generator))


def axes_permuted(
    rows: Float[Tensor, "n d"], *, generator: torch.Generator
) -> Float[Tensor, "n d"]:
    """The same dictionary with its axes in another order: all angles within it stay.

    A null that keeps how much features crowd together, which random directions lose.
    """
    return rows[:, torch.randperm(rows.shape[1], generator=generator).to(rows.device)]


def unit_rows(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Each row at length 1; a zero row stays zero."""
    length = rows.norm(dim=1, keepdim=True)
    return rows / length.masked_fill(length == 0, 1)


def _both_ways(
    first: Float[Tensor, "n d"], second: Float[Tensor, "m _"]
) -> tuple[Matches, Int64[np.ndarray, " m"]]:
    """Best matches of the first, and the best of the first for each of the second, in one pass."""
    index, cosine = [], []
    highest = torch.full((len(second),), -2.0, device=second.device)
    owner = torch.zeros(len(second), dtype=torch.int64, device=second.device)
    for start, block in similarity_blocks(first, second):
        best, column = block.max(dim=1), block.max(dim=0)
        index.append(best.indices.cpu().numpy())
        cosine.append(best.values.cpu().numpy())
        # Strictly higher: a tie stays with the lowest number, as in one block.
        owner = torch.where(column.values > highest, column.indices + start, owner)
        highest = torch.maximum(column.values, highest)
    found = Matches(np.concatenate(index), np.concatenate(cosine).clip(-1, 1))
    return found, owner.cpu().numpy()
