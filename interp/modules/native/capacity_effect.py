"""CapacityEffect: what a stated capacity drops and pads in every layer, and what is recoverable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from interp.modules.native.table import RoutingTable
from interp.results.bootstrap import ratio_bootstrap
from interp.results.intervals import Interval

COUNTS = (
    *("tokens", "assigned", "dropped", "unserved", "slots", "padded"),
    *("intra", "intra_in_slots", "filled", "filled_unserved"),
)
_SHARES = {
    "dropped": ("dropped", "assigned"),
    "unserved": ("unserved", "tokens"),
    "padded": ("padded", "slots"),
    "intra_recovered": ("intra", "dropped"),
    "intra_in_slots_recovered": ("intra_in_slots", "dropped"),
    "fill_in_recovered": ("filled", "padded"),
}


@dataclass(frozen=True, kw_only=True)
class CapacityEffect:
    """Counts over all groups of tokens, and shares with intervals over groups.

    The rule is deterministic given the routing, so there is no null: with no limit nothing drops.
    """

    rule: dict[str, Any]
    """factor (None: the model's own capacity), own, rounding, order, devices, group_sequences."""
    n_groups: int
    mean_capacity: float
    """Slots of an expert in a group, on average: groups of unequal length differ."""
    counts: Int64[np.ndarray, "layers counts"]
    """Sums over groups in the order of COUNTS; dropped, assigned, intra and intra_in_slots are
    assignments, slots, padded and filled are slots, tokens and unserved are tokens."""
    shares: Float64[np.ndarray, "layers shares 3"]
    """Value, low, high (95% bootstrap over groups) of what `share` names."""

    def count(self, name: str) -> Int64[np.ndarray, " layers"]:
        """One of COUNTS, for every layer."""
        return self.counts[:, COUNTS.index(name)]

    def share(self, name: str, layer: int) -> Interval:
        """dropped (of assignments), unserved (of tokens), padded (of slots), intra_recovered and
        intra_in_slots_recovered (of what was dropped), fill_in_recovered (of what was padded)."""
        return Interval(*(float(v) for v in self.shares[layer, list(_SHARES).index(name)]))


def capacity_effect(
    table: RoutingTable, rule: dict[str, Any], *, n_experts: int, rng: np.random.Generator
) -> CapacityEffect:
    """Sums and shares of the capacity counts in `table`."""
    groups = table.capacity.astype(np.float64)
    layers = groups.shape[1]
    shares = np.full((layers, len(_SHARES), 3), np.nan)
    for layer in range(layers):
        for i, (part, whole) in enumerate(_SHARES.values()):
            columns = (groups[:, layer, COUNTS.index(name)] for name in (part, whole))
            shares[layer, i] = _share(*columns, rng=rng)
    slots = groups[:, 0, COUNTS.index("slots")]
    return CapacityEffect(
        rule=rule,
        n_groups=len(groups),
        mean_capacity=float(slots.mean() / n_experts),
        counts=table.capacity.sum(axis=0),
        shares=shares,
    )


def _share(
    part: Float64[np.ndarray, " groups"],
    whole: Float64[np.ndarray, " groups"],
    *,
    rng: np.random.Generator,
) -> Interval:
    # A group without a drop says nothing of how drops are recovered.
    seen = whole > 0
    if seen.sum() < 2:
        value = part.sum() / whole.sum() if seen.any() else float("nan")
        return Interval(float(value), float("nan"), float("nan"))
    return ratio_bootstrap(part[seen], whole[seen], rng=rng, draws=1000)
