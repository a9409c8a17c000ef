"""TIES' second half: which sign every entry gets, and the mean of those that have it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.recipe import Conflict
from interp.abilities.merge.rounding import onto_base, rounded_sum


def elected_mean(
    weighted: Sequence[Float[Tensor, " entries"]],
    weights: Sequence[float],
    *,
    zero: Conflict,
    majority: int,
    normalize: bool,
) -> Float[Tensor, " entries"]:
    """Σ of the weighted differences that have the elected sign, over Σ of their weights.

    The elected sign is that of Σ weighted; where that is 0, `zero` decides: "plus", no sign
    ("none": the result is 0), or the sign of `majority` (minus where that is 0, as the authors'
    code has it). Without `normalize` nothing is divided.
    """
    elected = _sum(weighted).sign_()
    if zero != "none":
        sign = 1.0 if zero == "plus" or majority > 0 else -1.0
        elected.masked_fill_(elected == 0, sign)
    mixed = torch.zeros_like(elected)
    divisor = torch.zeros_like(elected)
    for difference, weight in zip(weighted, weights, strict=True):
        agrees = (difference.sign() == elected).to(elected.dtype)
        mixed.addcmul_(difference, agrees)
        if normalize:
            divisor.add_(agrees, alpha=weight)
    if not normalize:
        return mixed
    return mixed.div_(divisor.masked_fill_(divisor == 0, 1.0))


def added(
    base: Float[Tensor, " entries"], mixed: Float[Tensor, " entries"], *, scale: float
) -> Float[Tensor, " entries"]:
    """base + scale * mixed; where nothing is added the base keeps its bits."""
    # x - (+0) is x for every x, so what is added is negated, and a zero made +0.
    return base - torch.mul(mixed, -scale).add_(0.0)


def rounded_election(
    base: Float[Tensor, " entries"],
    weighted: Sequence[Float[Tensor, " entries"]],
    weights: Float[Tensor, " n_models"],
    *,
    normalize: bool,
    scale: float,
) -> Float[Tensor, " entries"]:
    """The merged piece by mergekit 0.1.5's rule and rounding; a sum of 0 elects plus."""
    plus = rounded_sum(weighted) >= 0
    elected = plus.to(base.dtype).mul_(2).sub_(1)
    agrees = [(difference.sign() == elected).to(base.dtype) for difference in weighted]
    mixed = rounded_sum([d * agree for d, agree in zip(weighted, agrees, strict=True)])
    if not normalize:
        return onto_base(base, mixed, None, scale=scale)
    divisor = rounded_sum([agree.mul_(w) for agree, w in zip(agrees, weights, strict=True)])
    return onto_base(base, mixed, divisor.masked_fill_(divisor == 0, 1.0), scale=scale)


def _sum(terms: Sequence[Float[Tensor, " entries"]]) -> Float[Tensor, " entries"]:
    total = terms[0].clone()
    for term in terms[1:]:
        total.add_(term)
    return total
