"""SLERP: along the great circle from the base to a model, tensor by tensor."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.method import MergeMethod, Piece, Whole, merge_tensor
from interp.abilities.merge.recipe import MergeRecipe
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor

COLINEAR = 0.9995
"""Above this |cosine| the arc is a line, and its formula ill-conditioned: lerp."""
_TINY = 1e-8


class Arc(NamedTuple):
    """The coefficients of the two ends of one tensor."""

    base: float
    model: float
    straight: bool
    """Whether they are those of the straight line."""


def arc(t: float, *, dot: float, base_norm: float, model_norm: float) -> Arc:
    """sin((1 − t) Ω) / sin Ω and sin(t Ω) / sin Ω, with Ω the angle between the two tensors.

    The straight line where they are colinear or antipodal, or where one is zero.
    """
    if base_norm <= _TINY or model_norm <= _TINY:
        return Arc(1.0 - t, t, straight=True)
    cosine = min(max(dot / (base_norm * model_norm), -1.0), 1.0)
    if abs(cosine) > COLINEAR:
        return Arc(1.0 - t, t, straight=True)
    angle = math.acos(cosine)
    sine = math.sin(angle)
    return Arc(math.sin((1 - t) * angle) / sine, math.sin(t * angle) / sine, straight=False)


def measure_arc(whole: Whole, recipe: MergeRecipe) -> Arc:
    """Dot and norms of a whole tensor; products in float32, sums in float64."""
    sums = [0.0, 0.0, 0.0]
    for part in whole.each(_moments):
        sums = [one + other for one, other in zip(sums, part, strict=True)]
    dot, base, model = sums
    return arc(recipe.t, dot=dot, base_norm=math.sqrt(base), model_norm=math.sqrt(model))


def slerp(piece: Piece, recipe: MergeRecipe, ends: Arc) -> Float[Tensor, " entries"]:
    """c_0 θ + c_1 θ_1; the lengths are those of the two tensors, and the result's is not set."""
    model = piece.models[0]
    if recipe.numerics == "exact" and ends.straight:
        return merged_tensor(piece.base, languages=[LanguageTerm(ends.model, model)])
    wide = torch.promote_types(piece.base.dtype, torch.float32)
    # A coefficient of zero adds nothing: not -0 + 0, and not 0 * inf.
    terms = [
        torch.mul(numbers.to(wide), coefficient)
        for numbers, coefficient in ((piece.base, ends.base), (model, ends.model))
        if coefficient != 0.0
    ]
    return (terms[0] if len(terms) == 1 else terms[0] + terms[1]).to(piece.base.dtype)


def slerp_tensor(
    base: Float[Tensor, "*shape"], model: Float[Tensor, "*shape"], t: float
) -> Float[Tensor, "*shape"]:
    """The tensor at `t` of the way from one to the other, in memory."""
    recipe = MergeRecipe.of("slerp", n_models=1, t=t)
    return merge_tensor(METHODS[0], base, [model], recipe)


def _moments(piece: Piece) -> tuple[float, float, float]:
    wide = torch.promote_types(piece.base.dtype, torch.float32)
    base, model = piece.base.to(wide), piece.models[0].to(wide)
    return _sum(base * model), _sum(base.square()), _sum(model.square())


def _sum(numbers: Tensor) -> float:
    return float(numbers.sum(dtype=torch.float64))


METHODS = (
    MergeMethod(
        name="slerp",
        title="spherical interpolation",
        source="Shoemake 1985, over a flattened tensor",
        merge=slerp,
        measure=measure_arc,
    ),
)
