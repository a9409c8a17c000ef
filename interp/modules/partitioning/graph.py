"""The co-activation graph of a layer: its neurons, and how strongly each two fire together."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from interp.modules.partitioning.balanced import content_order
from interp.neurons.coactivation_counts import (
    CoactivationCounts,
    MoeficationAffinity,
    Rule,
    moefication_weights,
    positive,
)
from interp.results.errors import BadInput

Affinity = Literal["phi", "moefication"]
"""phi: correlation of on and off, negative ones as 0. moefication: thresholded sums of products of
activations (2110.01786), which neurons that fire often dominate."""


class CoactivationGraph(NamedTuple):
    """Edge weights of every two neurons, 0 on the diagonal and without negative ones."""

    weights: Float64[np.ndarray, "neurons neurons"]
    idle: Bool[np.ndarray, " neurons"]
    """Neurons without an edge: dead, always on, or never on beside another."""


def coactivation_graph(
    h: Float[Tensor, "rows neurons"], *, affinity: Affinity = "phi", active: Rule = positive
) -> CoactivationGraph:
    """The graph of activations `h`; `active` says when a neuron is on, for phi.

    Raises BadInput for an affinity we do not know, or where no two neurons fire together.
    """
    if affinity == "phi":
        counts = CoactivationCounts(h.shape[1], active=active)
        counts.update(h)
        weights = np.clip(counts.finish().phi, 0.0, None).astype(np.float64)
    elif affinity == "moefication":
        sums = MoeficationAffinity(h.shape[1])
        sums.update(h)
        weights = moefication_weights(sums.finish()).double().numpy()
    else:
        raise BadInput(f"affinity {affinity!r}: phi or moefication")
    np.fill_diagonal(weights, 0.0)
    idle = ~(weights.sum(axis=1) > 0)
    if idle.all():
        raise BadInput(
            "no two neurons are ever on together beyond chance: there is no graph to cut; give "
            "more rows, or a rule of activity that fits these activations"
        )
    return CoactivationGraph(weights, idle)


def by_content(h: Float[Tensor, "rows neurons"]) -> Int64[np.ndarray, " neurons"]:
    """Neurons in an order that their activations decide, and not their place in the layer.

    What is computed in this order is the same, to the bit, however the neurons are permuted.
    """
    columns = np.ascontiguousarray(h.detach().cpu().float().numpy().T)
    return content_order(columns, np.ones(len(columns), bool))


def columns_shuffled(
    h: Float[Tensor, "rows neurons"], generator: torch.Generator
) -> Float[Tensor, "rows neurons"]:
    """Every neuron's activations in an order of their own: rates stay, co-activation goes."""
    shuffled = torch.empty_like(h)
    for start in range(0, h.shape[1], 256):
        some = h[:, start : start + 256]
        places = torch.rand(some.shape, generator=generator).argsort(dim=0)
        shuffled[:, start : start + 256] = some.gather(0, places)
    return shuffled
