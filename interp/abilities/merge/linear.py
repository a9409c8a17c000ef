"""Linear: the weighted mean of the models (2203.05482)."""

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.bits import as_integers
from interp.abilities.merge.method import MergeMethod, Piece
from interp.abilities.merge.recipe import MergeRecipe


def linear(piece: Piece, recipe: MergeRecipe, _: None) -> Float[Tensor, " entries"]:
    """Σ w_i θ_i / Σ w_i, or without the division if not `normalize`. The base is not in it.

    A mean keeps the bits of the base where all models have them.
    """
    if recipe.numerics == "mergekit" or not recipe.normalize:
        return _weighted_sum(piece, recipe)
    total = sum(recipe.weights)
    mean = torch.zeros_like(piece.base)
    for weight, model in zip(recipe.weights, piece.models, strict=True):
        mean.add_(torch.mul(model, weight / total))
    bits = as_integers(piece.base)
    same = torch.ones_like(bits, dtype=torch.bool)
    for model in piece.models:
        same.logical_and_(as_integers(model) == bits)
    return torch.where(same, piece.base, mean)


def _weighted_sum(piece: Piece, recipe: MergeRecipe) -> Float[Tensor, " entries"]:
    """In float32 at least, in the order of the models; as mergekit 0.1.5 does it."""
    dtype = torch.promote_types(piece.base.dtype, torch.float32)
    weights = torch.tensor(recipe.weights, dtype=dtype)
    total = torch.zeros_like(piece.base, dtype=dtype)
    for weight, model in zip(weights, piece.models, strict=True):
        total.addcmul_(model.to(dtype), weight)
    if recipe.normalize:
        total.div_(weights.sum())
    return total.to(piece.base.dtype)


METHODS = (
    MergeMethod(
        name="linear",
        title="weighted mean",
        source="model soups, arXiv 2203.05482",
        merge=linear,
    ),
)
