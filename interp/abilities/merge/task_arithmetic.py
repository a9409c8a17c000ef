"""Task arithmetic: the base plus weighted differences of the models to it (2212.04089)."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.method import MergeMethod, Piece
from interp.abilities.merge.recipe import MergeRecipe
from interp.abilities.merge.rounding import (
    onto_base,
    rounded_differences,
    rounded_sum,
    rounded_weights,
)
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor

_TINY = 1e-8


def task_arithmetic(piece: Piece, recipe: MergeRecipe, _: None) -> Float[Tensor, " entries"]:
    """θ + λ Σ w_i (θ_i − θ), divided by Σ w_i if `normalize`."""
    if recipe.numerics == "mergekit":
        return _rounded(piece, recipe)
    total = sum(recipe.weights)
    factor = recipe.scale / total if recipe.normalize and abs(total) >= _TINY else recipe.scale
    terms = [
        LanguageTerm(factor * weight, model)
        for weight, model in zip(recipe.weights, piece.models, strict=True)
    ]
    return merged_tensor(piece.base, languages=terms)


def _rounded(piece: Piece, recipe: MergeRecipe) -> Float[Tensor, " entries"]:
    weights = rounded_weights(recipe.weights, piece.base.dtype)
    deltas = rounded_differences(piece)
    for delta, weight in zip(deltas, weights, strict=True):
        delta.mul_(weight)
    divisor = weights.sum(dim=0) if recipe.normalize else None
    if divisor is not None and abs(divisor) < _TINY:
        divisor = None
    return onto_base(piece.base, rounded_sum(deltas), divisor, scale=recipe.scale)


METHODS = (
    MergeMethod(
        name="task_arithmetic",
        title="task arithmetic",
        source="arXiv 2212.04089",
        merge=task_arithmetic,
    ),
)
