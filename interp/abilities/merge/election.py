"""TIES' second half: which sign every entry gets, and the mean of those that have it."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.abilities.merge.bits import masked, negative, not_zero, one_where_zero_
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
    total = _sum(weighted)
    elected = negative(total)
    agrees = _agreeing(weighted, elected)
    if zero == "none":
        # Where the sum is 0 nobody agrees.
        decided = not_zero(total)
        agrees = [mask.bitwise_and_(decided) for mask in agrees]
    elif zero == "majority" and majority <= 0:
        agrees = _agreeing(weighted, elected | ~not_zero(total))
    mixed = _sum([masked(one, mask) for one, mask in zip(weighted, agrees, strict=True)])
    if not normalize:
        return mixed
    each = torch.tensor(list(weights), dtype=total.dtype)
    divisor = _sum([masked(weight, mask) for weight, mask in zip(each, agrees, strict=True)])
    return mixed.div_(one_where_zero_(divisor))


def votes(weighted: Sequence[Float[Tensor, " entries"]]) -> int:
    """How many entries of Σ weighted are plus, less how many are minus."""
    return int(_sum(weighted).sign().sum(dtype=torch.float64))


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
    agrees = _agreeing(weighted, negative(rounded_sum(weighted)))
    mixed = rounded_sum([masked(one, mask) for one, mask in zip(weighted, agrees, strict=True)])
    if not normalize:
        return onto_base(base, mixed, None, scale=scale)
    divisor = rounded_sum([masked(w, mask) for w, mask in zip(weights, agrees, strict=True)])
    return onto_base(base, mixed, one_where_zero_(divisor), scale=scale)


def _agreeing(
    weighted: Sequence[Float[Tensor, " entries"]], elected: Shaped[Tensor, " entries"]
) -> list[Shaped[Tensor, " entries"]]:
    """The mask, for every model, of differences that are not 0 and have the elected sign."""
    return [
        (negative(one) ^ elected).bitwise_not_().bitwise_and_(not_zero(one)) for one in weighted
    ]


def _sum(terms: Sequence[Float[Tensor, " entries"]]) -> Float[Tensor, " entries"]:
    """The sum in order, from +0: so never -0."""
    total = terms[0].add(0.0)
    for term in terms[1:]:
        total.add_(term)
    return total
