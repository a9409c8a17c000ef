"""DARE: drop entries of every model's difference at random and rescale the rest (2311.03099)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.abilities.merge.election import added, elected_mean, rounded_election, votes
from interp.abilities.merge.method import MergeMethod, Piece, Whole, merge_tensor
from interp.abilities.merge.recipe import MergeRecipe
from interp.abilities.merge.rounding import (
    onto_base,
    rounded_differences,
    rounded_sum,
    rounded_weights,
)
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor
from interp.abilities.streaming.chunks import Chunk

_TINY = 1e-7
_PER_COUNTER = 8
"""32-bit numbers that one step of Philox's counter gives."""


class Drops(NamedTuple):
    """What DARE knows of a tensor before it merges a piece."""

    factors: tuple[float, ...]
    """What the kept entries of every model are multiplied by."""
    states: Mapping[Chunk, tuple[Tensor | None, ...]]
    """Of torch's stream where a chunk begins, for every model; empty for our own numbers."""
    majority: int = 0
    """The sign of most elected signs; 0 where it is not asked for, or they cancel."""


def kept_entries(
    *, seed: int, name: str, model: int, start: int, n: int, density: float
) -> Bool[Tensor, " {n}"]:
    """Which entries from `start` on stay: each with probability `density`, by its place alone.

    So no chunk, shard or thread changes what is dropped. Philox 4x64, keyed by seed, tensor name
    and model.
    """
    key = hashlib.sha256(f"{seed}\0{model}\0{name}".encode()).digest()[:16]
    skipped = start % _PER_COUNTER
    stream = np.random.Philox(
        key=np.frombuffer(key, dtype="<u8").copy(), counter=start // _PER_COUNTER
    )
    words = stream.random_raw(-(-(skipped + n) // 2))
    numbers = words.astype("<u8", copy=False).view("<u4")[skipped : skipped + n]
    return torch.from_numpy(numbers < np.uint64(round(density * 2**32)))


def measure_drops(whole: Whole, recipe: MergeRecipe) -> Drops:
    """Factors, where mergekit's random stream stands at every chunk, and the majority's sign."""
    states = {}
    if recipe.numerics == "mergekit":
        by_model = [list(_states(whole, density)) for density in recipe.density]
        states = dict(zip(whole.chunks, zip(*by_model, strict=True), strict=True))
    drops = _rescaled(whole, recipe, Drops((1.0,) * len(recipe.density), states))
    if (recipe.method, recipe.numerics, recipe.zero) != ("dare_ties", "exact", "majority"):
        return drops
    each = whole.each(lambda piece: votes(_weighted(piece, recipe, drops)))
    return drops._replace(majority=int(np.sign(sum(each))))


def _rescaled(whole: Whole, recipe: MergeRecipe, drops: Drops) -> Drops:
    """With the factor of every model."""
    if recipe.rescale == "none":
        return drops
    if recipe.rescale == "density":
        return drops._replace(factors=tuple(1.0 / d if d > 0.0 else 1.0 for d in recipe.density))
    norms = np.zeros((2, len(recipe.density)))
    for part in whole.each(lambda piece: _norms(piece, recipe, drops)):
        norms += part
    # mergekit rounds the norms and their ratio; our own numbers stay float64 until they are used.
    work = _work_dtype(whole.dtype) if recipe.numerics == "mergekit" else torch.float64
    return drops._replace(factors=tuple(_factor(*pair, dtype=work) for pair in norms.T))


def dare_linear(piece: Piece, recipe: MergeRecipe, drops: Drops) -> Float[Tensor, " entries"]:
    """θ + λ Σ w_i f_i m_i (θ_i − θ), with m_i the kept entries and f_i what rescales them."""
    if recipe.numerics == "mergekit":
        weighted, weights = _rounded(piece, recipe, drops)
        divisor = weights.sum(dim=0) if recipe.normalize else None
        if divisor is not None and abs(divisor) < 1e-8:
            divisor = None
        return onto_base(piece.base, rounded_sum(weighted), divisor, scale=recipe.scale)
    total = sum(recipe.weights) if recipe.normalize else 1.0
    scale = recipe.scale / (total or 1.0)
    terms = []
    for i, (model, weight) in enumerate(zip(piece.models, recipe.weights, strict=True)):
        # A dropped entry is the base's own, whose difference adds nothing.
        kept = torch.where(_kept(piece, recipe, drops, i), model, piece.base)
        terms.append(LanguageTerm(scale * weight * drops.factors[i], kept))
    return merged_tensor(piece.base, languages=terms)


def dare_ties(piece: Piece, recipe: MergeRecipe, drops: Drops) -> Float[Tensor, " entries"]:
    """As TIES, with random entries dropped in place of the smallest."""
    if recipe.numerics == "mergekit":
        weighted, weights = _rounded(piece, recipe, drops)
        return rounded_election(
            piece.base, weighted, weights, normalize=recipe.normalize, scale=recipe.scale
        )
    # Unlike TIES' authors, DARE's read a majority of 0 as no sign: nothing is merged there.
    undecided = recipe.zero == "majority" and drops.majority == 0
    mixed = elected_mean(
        _weighted(piece, recipe, drops),
        recipe.weights,
        zero="none" if undecided else recipe.zero,
        majority=drops.majority,
        normalize=recipe.normalize,
    )
    return added(piece.base, mixed, scale=recipe.scale)


def dare_tensor(
    method: Literal["dare_linear", "dare_ties"],
    base: Float[Tensor, "*shape"],
    models: Sequence[Float[Tensor, "*shape"]],
    weights: Sequence[float],
    density: float | Sequence[float],
    *,
    name: str = "",
    seed: int = 0,
) -> Float[Tensor, "*shape"]:
    """One tensor merged by DARE in memory; what is dropped depends on `name` and `seed`."""
    recipe = MergeRecipe.of(
        method, n_models=len(models), weights=weights, density=density, seed=seed
    )
    chosen = next(one for one in METHODS if one.name == method)
    return merge_tensor(chosen, base, models, recipe, name=name)


def _kept(piece: Piece, recipe: MergeRecipe, drops: Drops, model: int) -> Tensor:
    density, n = recipe.density[model], piece.base.numel()
    if density >= 1.0:
        return torch.ones(n, dtype=torch.bool)
    if not drops.states:
        name, start, _ = piece.chunk
        return kept_entries(
            seed=recipe.seed, name=name, model=model, start=start, n=n, density=density
        )
    state = drops.states[piece.chunk][model]
    assert state is not None
    generator = torch.Generator()
    generator.set_state(state)
    return _drawn(n, density, piece.base.dtype, generator)


def _dropped(piece: Piece, recipe: MergeRecipe, drops: Drops) -> list[Tensor]:
    """Every model's difference to the base, zero where it is dropped."""
    return [
        difference.masked_fill_(~_kept(piece, recipe, drops, i), 0.0)
        for i, difference in enumerate(rounded_differences(piece))
    ]


def _weighted(piece: Piece, recipe: MergeRecipe, drops: Drops) -> list[Tensor]:
    """What is left of every difference, rescaled and times its weight."""
    return [
        difference.mul_(weight * factor)
        for difference, weight, factor in zip(
            _dropped(piece, recipe, drops), recipe.weights, drops.factors, strict=True
        )
    ]


def _rounded(piece: Piece, recipe: MergeRecipe, drops: Drops) -> tuple[list[Tensor], Tensor]:
    """Weighted differences as mergekit 0.1.5 rounds them, and the weights."""
    dtype = piece.base.dtype
    weights = rounded_weights(recipe.weights, dtype)
    weighted = []
    for i, difference in enumerate(_dropped(piece, recipe, drops)):
        if recipe.density[i] < 1.0 and recipe.rescale != "none":
            work = _work_dtype(dtype)
            factor = torch.tensor(drops.factors[i], dtype=work)
            difference = (difference.to(work) * factor).to(dtype)  # noqa: PLW2901
        weighted.append(difference.mul_(weights[i]))
    return weighted, weights


def _work_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.bfloat16 else torch.float32


def _drawn(n: int, density: float, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    chance = torch.full((n,), density, dtype=_work_dtype(dtype))
    return torch.bernoulli(chance, generator=generator).bool()


def _states(whole: Whole, density: float) -> Iterator[Tensor | None]:
    """The stream's state before every chunk of one model; the stream is left behind the last."""
    for chunk in whole.chunks:
        if density >= 1.0:
            yield None
            continue
        yield whole.generator.get_state()
        _drawn(chunk.stop - chunk.start, density, whole.dtype, whole.generator)


def _norms(piece: Piece, recipe: MergeRecipe, drops: Drops) -> np.ndarray:
    """Of every model Σ |δ| of all entries, and of those kept."""
    work = _work_dtype(piece.base.dtype) if recipe.numerics == "mergekit" else piece.base.dtype
    whole, kept = rounded_differences(piece), _dropped(piece, recipe, drops)
    return np.array(
        [[float(d.to(work).abs().sum(dtype=torch.float64)) for d in part] for part in (whole, kept)]
    )


def _factor(before: float, after: float, *, dtype: torch.dtype) -> float:
    if before < _TINY or after < _TINY:
        return 1.0
    return float(torch.tensor(before, dtype=dtype) / torch.tensor(after, dtype=dtype))


def _methods() -> Sequence[MergeMethod]:
    common = {"source": "arXiv 2311.03099", "measure": measure_drops, "hides": True}
    return (
        MergeMethod(name="dare_linear", title="DARE, summed", merge=dare_linear, **common),
        MergeMethod(name="dare_ties", title="DARE, signs elected", merge=dare_ties, **common),
    )


METHODS = tuple(_methods())
