"""TIES: trim every model's difference to its largest entries, elect signs, merge (2306.01708)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.bits import masked, reaching, size_bits
from interp.abilities.merge.election import added, elected_mean, rounded_election, votes
from interp.abilities.merge.method import MergeMethod, Piece, Whole, in_memory
from interp.abilities.merge.ranks import Rank, ranked
from interp.abilities.merge.recipe import Conflict, Keep, MergeRecipe
from interp.abilities.merge.rounding import rounded_differences, rounded_weights
from interp.abilities.streaming.chunks import Chunk


class Trim(NamedTuple):
    """What is kept of one model's difference to the base."""

    bits: int
    """Of the smallest size that is kept."""
    equal: int | None
    """How many entries of that size are kept, first come first; None: all of them."""


class Trims(NamedTuple):
    """What TIES knows of a tensor, or of a whole model, before it merges a piece."""

    by_model: tuple[Trim | None, ...]
    """None: everything is kept."""
    before: Mapping[Chunk, tuple[int, ...]]
    """How many entries of the smallest kept size come before a chunk, in every model; empty where
    no model keeps only some of them."""
    majority: int
    """The sign of most elected signs."""


_NOTHING = Trim(bits=1 << 62, equal=None)


def measure_trims(whole: Whole, recipe: MergeRecipe) -> Trims:
    """The thresholds of a tensor or of a whole model: exact, and equal sizes told apart by place.

    Keeps max(1, floor(density * n)) entries of every model ("floor"), the first of equal ones; or
    all that reach the (floor(density * n) + 1)-th largest ("paper": the authors' kthvalue).
    """
    n = sum(chunk.stop - chunk.start for chunk in whole.chunks)
    trims = _trims(whole, recipe, n)
    before: dict[Chunk, tuple[int, ...]] = {}
    if any(trim is not None and trim.equal is not None for trim in trims):
        before = _places_of_equals(whole, trims)
    facts = Trims(trims, before, majority=0)
    if recipe.zero != "majority" or recipe.numerics == "mergekit":
        return facts
    each = whole.each(lambda piece: votes(_weighted(_trimmed(piece, facts), recipe)))
    return facts._replace(majority=int(np.sign(sum(each))))


def ties(piece: Piece, recipe: MergeRecipe, facts: Trims) -> Float[Tensor, " entries"]:
    """θ + λ · the mean, over the models with the elected sign, of what is left of w_i (θ_i − θ)."""
    weighted = _trimmed(piece, facts)
    if recipe.numerics == "mergekit":
        weights = rounded_weights(recipe.weights, piece.base.dtype)
        for difference, weight in zip(weighted, weights, strict=True):
            difference.mul_(weight)
        return rounded_election(
            piece.base, weighted, weights, normalize=recipe.normalize, scale=recipe.scale
        )
    mixed = elected_mean(
        _weighted(weighted, recipe),
        recipe.weights,
        zero=recipe.zero,
        majority=facts.majority,
        normalize=recipe.normalize,
    )
    return added(piece.base, mixed, scale=recipe.scale)


def ties_tensor(
    base: Float[Tensor, "*shape"],
    models: Sequence[Float[Tensor, "*shape"]],
    weights: Sequence[float],
    density: float | Sequence[float],
    *,
    scale: float = 1.0,
    by_weight: bool = False,
    zero: Conflict = "none",
    keep: Keep = "floor",
) -> Float[Tensor, "*shape"]:
    """One tensor merged by TIES in memory, in the type of `base`: θ + λ · mean of w_i τ_i.

    The mean of the paper, over the models that agree, by their number: with equal weights they and
    λ are one and the same. `by_weight` divides by their weights in place, as the recipes do, where
    only the weights' ratio counts. Trimmed by itself, whatever else the model holds.
    """
    recipe = MergeRecipe.of(
        "ties", n_models=len(models), weights=weights, density=density, zero=zero, keep=keep
    )
    whole = in_memory(base, models)
    if not whole.chunks:
        return base.clone()
    facts = measure_trims(whole, recipe)
    (piece,) = whole.each(lambda piece: piece)
    mixed = elected_mean(
        _weighted(_trimmed(piece, facts), recipe),
        recipe.weights if by_weight else (1.0,) * len(models),
        zero=zero,
        majority=facts.majority,
        normalize=True,
    )
    return added(piece.base, mixed, scale=scale).reshape(base.shape)


def _trims(whole: Whole, recipe: MergeRecipe, n: int) -> tuple[Trim | None, ...]:
    counts = [_kept_count(density, n, recipe.keep) for density in recipe.density]
    # Everything or nothing needs no threshold, but a place to ask for.
    places = [min(max(count, 1), n) for count in counts]
    if all(count >= n for count in counts):
        return (None,) * len(counts)
    ranks = ranked(whole, rounded_differences, places)
    return tuple(
        _trim(rank, count, n, recipe.keep) for rank, count in zip(ranks, counts, strict=True)
    )


def _kept_count(density: float, n: int, keep: Keep) -> int:
    if density >= 1.0:
        return n
    if keep == "paper":
        return int(density * n) + 1
    return max(1, int(density * n)) if density > 0.0 else 0


def _trim(rank: Rank, count: int, n: int, keep: Keep) -> Trim | None:
    if count >= n:
        return None
    if count == 0:
        return _NOTHING
    equal = count - rank.n_above
    return Trim(rank.bits, None if keep == "paper" or equal >= rank.n_equal else equal)


def _places_of_equals(whole: Whole, trims: Sequence[Trim | None]) -> dict[Chunk, tuple[int, ...]]:
    def count(piece: Piece) -> tuple[int, ...]:
        return tuple(
            0 if trim is None or trim.equal is None
            else int(torch.count_nonzero(size_bits(difference) == trim.bits))
            for difference, trim in zip(rounded_differences(piece), trims, strict=True)
        )  # fmt: skip

    before, total = {}, (0,) * len(trims)
    for chunk, counts in zip(whole.chunks, whole.each(count), strict=True):
        before[chunk] = total
        total = tuple(one + more for one, more in zip(total, counts, strict=True))
    return before


def _trimmed(piece: Piece, facts: Trims) -> list[Tensor]:
    """Every model's difference to the base, zero where it is trimmed."""
    differences = rounded_differences(piece)
    before = facts.before.get(piece.chunk, (0,) * len(differences))
    return [
        difference if trim is None else _left(difference, trim, seen)
        for difference, trim, seen in zip(differences, facts.by_model, before, strict=True)
    ]


def _left(difference: Tensor, trim: Trim, seen: int) -> Tensor:
    """What is left of a difference, given how many of the smallest kept size came before."""
    sizes = size_bits(difference)
    n = sizes.numel()
    wanted = n if trim.equal is None else max(trim.equal - seen, 0)
    if trim.bits > torch.iinfo(sizes.dtype).max:
        return torch.zeros_like(difference)
    left = masked(difference, reaching(sizes, trim.bits if wanted else trim.bits + 1))
    if 0 < wanted < n:
        equal = torch.nonzero(sizes == trim.bits).flatten()
        left[equal[wanted:]] = 0.0
    return left


def _weighted(differences: list[Tensor], recipe: MergeRecipe) -> list[Tensor]:
    for difference, weight in zip(differences, recipe.weights, strict=True):
        if weight != 1.0:
            difference.mul_(weight)
    return differences


METHODS = (
    MergeMethod(
        name="ties",
        title="TIES",
        source="arXiv 2306.01708",
        merge=ties,
        measure=measure_trims,
        hides=True,
    ),
)
