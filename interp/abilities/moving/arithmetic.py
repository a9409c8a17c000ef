"""The two formulas of ability transfer, for one tensor or any piece of one.

Streaming over files and tuning in memory both call these, so they cannot differ. Numbering and
reading are those of MAET (2410.07825): (2) takes an ability out, (5) adds it to a base.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class AbilityTerm(NamedTuple):
    """gamma * R(A), given where R(A) has entries."""

    gamma: float
    positions: Int64[Tensor, " found"] | None
    """Flat positions in the base, each once; None means all of them, in order."""
    delta: Float[Tensor, " found"]


class LanguageTerm(NamedTuple):
    """coefficient * (L - base); the coefficient is eta * mu."""

    coefficient: float
    weights: Float[Tensor, "..."]
    """The language model's tensor, in the shape of the base."""


def ability_delta(
    base: Float[Tensor, "..."],
    ability: Float[Tensor, "..."],
    general: Float[Tensor, "..."] | None,
    *,
    alpha: float,
    beta: float,
) -> Float[Tensor, "..."]:
    """R(A) where the mask is one: alpha (ability - base) - beta (general - base).

    (2) of the reading. Without a general control the second term is left out.
    """
    delta = torch.mul(ability - base, alpha)
    if general is None or beta == 0.0:
        return delta
    return delta - torch.mul(general - base, beta)


def merged_tensor(
    base: Float[Tensor, "..."],
    *,
    abilities: Sequence[AbilityTerm] = (),
    languages: Sequence[LanguageTerm] = (),
) -> Float[Tensor, "..."]:
    """base + sum_i gamma_i R(A_i) + sum_j eta mu_j (L_j - base), not yet rounded to a format.

    (5) of the reading. Terms are added in the order given, product first and sum after, so that
    the result does not depend on how a tensor is cut. A term whose coefficient is zero is not
    computed (0 * inf is NaN), and where a weight or a difference is zero the base keeps its bits
    (adding +0 would turn -0 into +0). Computes in the type of `base`: pass float32 or float64.
    """
    merged = base.clone().reshape(-1)
    for term in abilities:
        if term.gamma != 0.0:
            _add_ability(merged, term)
    flat = base.reshape(-1)
    for coefficient, weights in languages:
        # x - (+0) is x for every x, so the difference is taken in the order that gives +0.
        if coefficient > 0.0:
            merged.sub_(_scaled(flat - weights.reshape(-1), coefficient))
        elif coefficient < 0.0:
            merged.sub_(_scaled(weights.reshape(-1) - flat, -coefficient))
    return merged.reshape(base.shape)


def _scaled(difference: Tensor, coefficient: float) -> Tensor:
    return difference if coefficient == 1.0 else difference.mul_(coefficient)


def _add_ability(merged: Tensor, term: AbilityTerm) -> None:
    where = slice(None) if term.positions is None else term.positions
    before = merged[where]
    added = before + torch.mul(term.delta.to(merged.dtype), term.gamma)
    merged[where] = torch.where(term.delta == 0, before, added)
