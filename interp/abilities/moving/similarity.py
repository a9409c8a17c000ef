"""How alike an ability's weights and a language's are, tensor by tensor, and which to select.

Formula (4) of the MAET reading (2410.07825): c_t = cos(R(A)_t, R_Lang,t), and the k2 share of the
tensors with the smallest c_t is where the ability is added.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from interp.abilities.moving.recipe import Selection
from interp.abilities.moving.transferred import SelectionNull, Similarity


class Moments(NamedTuple):
    """Sums of products in float64, so that pieces add up to the whole."""

    product: float = 0.0
    ability: float = 0.0
    language_inside: float = 0.0
    language: float = 0.0

    def plus(self, other: "Moments") -> "Moments":
        """The sums over both pieces."""
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))


def language_weights(
    base: Float[Tensor, " entries"], languages: Sequence[tuple[float, Float[Tensor, " entries"]]]
) -> Float[Tensor, " entries"]:
    """R_Lang = sum_j mu_j (L_j - base), formula (3)."""
    total = torch.zeros_like(base)
    for mu, weights in languages:
        if mu != 0.0:
            total.add_(torch.mul(weights - base, mu))
    return total


def moments(
    language: Float[Tensor, " entries"],
    positions: Int64[Tensor, " found"] | None,
    delta: Float[Tensor, " found"],
) -> Moments:
    """The sums of one piece; `positions` is where `delta` stands, None for everywhere."""
    inside = language if positions is None else language[positions]
    return Moments(
        product=_sum(inside * delta),
        ability=_sum(delta.square()),
        language_inside=_sum(inside.square()),
        language=_sum(language.square()),
    )


def similarity_of(sums: Moments) -> Similarity:
    """The cosines that the sums of a whole tensor give."""
    return Similarity(
        on_mask=_ratio(sums.product, math.sqrt(sums.ability * sums.language_inside)),
        on_all=_ratio(sums.product, math.sqrt(sums.ability * sums.language)),
        energy_inside=_ratio(sums.language_inside, sums.language),
    )


def select_tensors(
    cosines: Mapping[str, float],
    *,
    k2: float,
    select: Selection = "least",
    absolute: bool = False,
    seed: int = 0,
) -> tuple[str, ...]:
    """The k2 * n tensors whose cosine is smallest (or largest), by name among equals.

    Rounded to nearest, a half up: rounded down, one tensor would be none at k2 = 0.8. A tensor
    without a cosine (NaN) counts as 0. "random" draws, within each type of tensor, as many as
    "least" takes there: the size-matched null, since "least" against any equal number of tensors
    wins by keeping the large ones. "none" selects all.
    """
    names = sorted(cosines)
    if select == "none" or k2 >= 1.0:
        return tuple(names)
    sign = -1.0 if select == "most" else 1.0

    def rank(name: str) -> tuple[float, str]:
        cosine = 0.0 if math.isnan(cosines[name]) else cosines[name]
        return (sign * (abs(cosine) if absolute else cosine), name)

    chosen = sorted(names, key=rank)[: math.floor(k2 * len(names) + 0.5)]
    if select == "random":
        chosen = _matched_draw(names, chosen, seed)
    return tuple(sorted(chosen))


def selection_null(
    cosines: Mapping[str, float], selected: Iterable[str], *, seed: int, n_draws: int = 1000
) -> SelectionNull | None:
    """The mean cosine of the selected and of `n_draws` draws of as many tensors of every type.

    None where nothing is left to draw from, or no selected tensor has a cosine.
    """
    known = {name: value for name, value in cosines.items() if not math.isnan(value)}
    chosen = [name for name in selected if name in known]
    if not chosen or len(chosen) == len(known):
        return None
    names = sorted(known)
    draws = [
        np.mean([known[name] for name in _matched_draw(names, chosen, seed + draw)])
        for draw in range(n_draws)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return SelectionNull(
        mean=float(np.mean([known[name] for name in chosen])),
        null_mean=float(np.mean(draws)),
        null_interval=(float(low), float(high)),
        n_draws=n_draws,
    )


def tensor_type(name: str) -> str:
    """The name with every number in it replaced: one type over all layers."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _matched_draw(names: Iterable[str], chosen: Iterable[str], seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    types: dict[str, list[str]] = defaultdict(list)
    for name in names:
        types[tensor_type(name)].append(name)
    taken = defaultdict(int)
    for name in chosen:
        taken[tensor_type(name)] += 1
    return [
        str(name)
        for kind, members in sorted(types.items())
        for name in rng.choice(members, size=taken[kind], replace=False)
    ]


def _sum(products: Tensor) -> float:
    return float(products.sum(dtype=torch.float64))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")
