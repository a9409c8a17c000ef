"""Parts: an ability as differences to a base, in memory, tensor by tensor."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.support import Support
from interp.abilities.moving.weights import AbilityWeights
from interp.results.errors import Mismatch

Weights = Mapping[str, Float[Tensor, "..."]]


class Part(NamedTuple):
    """Differences in one tensor."""

    positions: Int64[Tensor, " found"] | None
    """Flat positions, ascending; None means every entry, in order."""
    delta: Float[Tensor, " found"]


Parts = Mapping[str, Part]


def parts_of(weights: AbilityWeights) -> dict[str, Part]:
    """Ability weights as they were extracted; tensors without a difference are left out."""
    return {
        name: Part(_positions(tensor.support), torch.from_numpy(tensor.delta.copy()))
        for name, tensor in weights.tensors.items()
        if tensor.delta.any()
    }


def parts_between(base: Weights, other: Weights, *, mask: NeuronMask | None = None) -> Parts:
    """other - base, on a mask's entries or everywhere."""
    if mask is None:
        everywhere = {name: (other[name] - base[name]).flatten() for name in base}
        return {name: Part(None, delta) for name, delta in everywhere.items() if delta.any()}
    found = {}
    for name, support in mask.tensors.items():
        if support.count:
            positions = torch.from_numpy(support.positions(0, support.n_entries)).long()
            difference = (other[name] - base[name]).flatten()[positions]
            found[name] = Part(positions, difference)
    return found


def less(ability: Parts, control: Parts, *, alpha: float = 1.0, beta: float) -> Parts:
    """alpha R(ability) - beta R(control), formula (2) of the MAET reading (2410.07825).

    Both must have the same entries, as trainings under one mask have; Mismatch otherwise.
    """
    if beta == 0.0:
        return {name: Part(p.positions, p.delta * alpha) for name, p in ability.items()}
    found = {}
    for name, part in ability.items():
        other = control.get(name)
        if other is None:
            found[name] = Part(part.positions, part.delta * alpha)
            continue
        if not _same(part.positions, other.positions):
            raise Mismatch(f"ability and control differ from the base at other entries in {name!r}")
        found[name] = Part(part.positions, part.delta * alpha - other.delta * beta)
    return found


def _same(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first, second)


def _positions(support: Support) -> Tensor | None:
    if support.encoding == "all":
        return None
    return torch.from_numpy(support.positions(0, support.n_entries))
