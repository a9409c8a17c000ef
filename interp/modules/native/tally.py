"""RoutingTally: what the routers of a model did over a text, counted document by document.

Merging is exact whatever the split: counts are integers and sums are float64, kept by document and
function until `finish` adds those of one key, in an order that the split does not decide.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from interp.modules.native.capacity import CapacityCounts
from interp.modules.native.router import Routing
from interp.modules.native.table import RoutingTable


class RoutingTally:
    """Accumulates batches of routing decisions; `merge` adds another process's."""

    def __init__(self, n_layers: int, n_experts: int) -> None:
        self.n_layers, self.n_experts = n_layers, n_experts
        self._keys: list[np.ndarray] = []
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._together = np.zeros((n_layers, n_experts, n_experts), np.int64)
        self._groups: list[np.ndarray] = []
        self._capacity: list[np.ndarray] = []

    def update(
        self,
        routings: list[Routing],
        keep: Bool[Tensor, " rows"],
        document: Int[Tensor, " rows"],
        function: Int[Tensor, " rows"],
    ) -> None:
        """Add one batch: a routing for each layer, of which the rows in `keep` are counted."""
        document, function = document[keep], function[keep]
        keys, of_row = torch.unique(
            torch.stack([document, function], 1), dim=0, return_inverse=True
        )
        layers = [self._layer(routing, keep, of_row, len(keys)) for routing in routings]
        for layer, routing in enumerate(routings):
            hot = one_hot(routing.chosen[keep], self.n_experts).sum(1).double()
            self._together[layer] += (hot.T @ hot).long().cpu().numpy()
        n_tokens = torch.bincount(of_row, minlength=len(keys))
        self._keys.append(keys.cpu().numpy())
        self._parts.append(
            (n_tokens.cpu().numpy(), *(np.stack(part, 1) for part in zip(*layers, strict=True)))
        )

    def update_capacity(self, group: Int[Tensor, " groups"], layers: list[CapacityCounts]) -> None:
        """Add the capacity counts of some groups, one for each layer."""
        self._groups.append(group.cpu().numpy())
        stacked = [torch.stack(list(counts), dim=1) for counts in layers]
        self._capacity.append(torch.stack(stacked, dim=1).cpu().numpy())

    def merge(self, other: "RoutingTally") -> None:
        """Add what `other` counted on other documents or groups."""
        self._keys += other._keys
        self._parts += other._parts
        self._together = self._together + other._together
        self._groups += other._groups
        self._capacity += other._capacity

    def finish(self) -> RoutingTable:
        """The sums of every key; ValueError if nothing was counted."""
        keys, of_part = np.unique(np.concatenate(self._keys), axis=0, return_inverse=True)
        of_part = of_part.reshape(-1)
        n_tokens, chosen, probability, entropy = (
            _summed(np.concatenate(part), of_part, len(keys))
            for part in zip(*self._parts, strict=True)
        )
        group, capacity = self._all_groups()
        return RoutingTable(
            document=keys[:, 0],
            function=keys[:, 1],
            n_tokens=n_tokens,
            chosen=chosen,
            probability=probability,
            entropy=entropy,
            together=self._together,
            group=group,
            capacity=capacity,
        )

    def _layer(
        self, routing: Routing, keep: Bool[Tensor, " rows"], of_row: Int[Tensor, " kept"], n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        hot = one_hot(routing.chosen[keep], self.n_experts).sum(1)
        p = routing.probabilities[keep].double()
        bits = -(p * p.clamp_min(1e-300).log2()).sum(1)
        sums = (
            torch.zeros((n, *value.shape[1:]), dtype=value.dtype, device=value.device).index_add(
                0, of_row, value
            )
            for value in (hot, p, bits)
        )
        counted, probability, entropy = (total.cpu().numpy() for total in sums)
        return counted, probability, entropy

    def _all_groups(
        self,
    ) -> tuple[Int64[np.ndarray, " groups"], Int64[np.ndarray, "groups layers counts"]]:
        if not self._groups:
            empty = np.zeros((0, self.n_layers, len(CapacityCounts._fields)), np.int64)
            return np.zeros(0, np.int64), empty
        group = np.concatenate(self._groups)
        order = np.argsort(group, kind="stable")
        return group[order], np.concatenate(self._capacity)[order]


def _summed(values: np.ndarray, of: Int64[np.ndarray, " parts"], n: int) -> np.ndarray:
    total = np.zeros((n, *values.shape[1:]), values.dtype)
    np.add.at(total, of, values)
    return total
