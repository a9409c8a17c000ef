"""mergekit's arithmetic: every step rounded to the models' own format.

Facts of mergekit 0.1.5, found by running it: differences, weights, products, sums and the result
are each rounded to the promoted format of the inputs; a sum over models is torch's, which adds in
float32 from +0 and rounds once.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.method import Piece

_IN_ORDER = 4
"""Terms that torch adds one after the other in float32; more are added in a tree."""


def rounded_weights(weights: Sequence[float], dtype: torch.dtype) -> Float[Tensor, " n_models"]:
    """The weights in the models' format."""
    return torch.tensor(list(weights), dtype=dtype)


def rounded_differences(piece: Piece) -> list[Float[Tensor, " entries"]]:
    """model - base, rounded."""
    return [model - piece.base for model in piece.models]


def rounded_sum(terms: Sequence[Float[Tensor, " entries"]]) -> Float[Tensor, " entries"]:
    """The sum over models, rounded once. Never -0: torch starts at +0."""
    dtype = terms[0].dtype
    if len(terms) <= 2:
        added = terms[0] + terms[1] if len(terms) == 2 else terms[0].clone()
        return added.add_(0.0)
    if dtype.itemsize > 2 and len(terms) > _IN_ORDER:
        return torch.stack(list(terms)).sum(dim=0)
    total = torch.zeros_like(terms[0], dtype=torch.promote_types(dtype, torch.float32))
    for term in terms:
        total.add_(term)
    return total.to(dtype)


def onto_base(
    base: Float[Tensor, " entries"],
    mixed: Float[Tensor, " entries"],
    divisor: Float[Tensor, "..."] | None,
    *,
    scale: float,
) -> Float[Tensor, " entries"]:
    """base + scale * mixed / divisor, rounded after each step."""
    if divisor is not None:
        mixed = mixed / divisor
    if scale != 1.0:
        mixed = mixed * scale
    return base + mixed
