"""Counts of neurons that fire together, gathered row by row and merged exactly."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from interp.neurons.coactivation import Coactivation
from interp.results.errors import BadInput, Mismatch

_BLOCK_ENTRIES = 1 << 24

Rule = Callable[[Float[Tensor, "rows neurons"]], Bool[Tensor, "rows neurons"]]
"""Which neurons count as on in which rows."""


def positive(h: Float[Tensor, "rows neurons"]) -> Bool[Tensor, "rows neurons"]:
    """On where h > 0: the rule of ReLU."""
    return h > 0


class CoactivationCounts:
    """G = BᵀB of the on-and-off B of one layer's neurons, with the number of rows.

    Integers, so that neither the cut of the rows nor the order of merging changes anything. Holds
    4 bytes for each pair of neurons: 38 MB for 3,072 of them, 1.1 GB for 16,384.
    """

    def __init__(
        self, n_neurons: int, *, active: Rule = positive, device: torch.device | str = "cpu"
    ) -> None:
        self.active = active
        self.n = 0
        self.together = torch.zeros((n_neurons, n_neurons), dtype=torch.int32, device=device)

    def update(self, h: Float[Tensor, "rows neurons"]) -> None:
        """Count the rows of `h`. Raises Mismatch for another width, BadInput for NaN."""
        _check_rows(h, self.together)
        # A product of 0 and 1 is exact in float32 up to 2^24 rows, and far faster than in integers.
        on = self.active(h).to(device=self.together.device, dtype=torch.float32)
        step = max(_BLOCK_ENTRIES // max(on.shape[1], 1), 1)
        for start in range(0, on.shape[1], step):
            block = on[:, start : start + step].T @ on
            self.together[start : start + step] += block.to(torch.int32)
        self.n += len(on)

    def merge(self, other: "CoactivationCounts") -> None:
        """Take in the counts of other rows."""
        _check_width(other.together, self.together)
        self.together += other.together.to(self.together.device)
        self.n += other.n

    def finish(self) -> Coactivation:
        """phi = (G/n − p pᵀ) / √(p(1−p) (p(1−p))ᵀ), with p = diag(G)/n; 0 where p is 0 or 1."""
        rates = self.together.diagonal().double() / max(self.n, 1)
        spread = (rates * (1 - rates)).sqrt()
        scale = torch.where(spread > 0, 1 / spread, 0.0)
        phi = torch.empty(self.together.shape, dtype=torch.float32)
        # Differences need float64, and the whole matrix in float64 would be twice what is counted.
        step = max(_BLOCK_ENTRIES // max(len(rates), 1), 1)
        for start in range(0, len(rates), step):
            some = slice(start, start + step)
            block = self.together[some].double() / max(self.n, 1) - torch.outer(rates[some], rates)
            phi[some] = (block * torch.outer(scale[some], scale)).clamp_(-1.0, 1.0).cpu()
        phi.diagonal().copy_((spread > 0).float())
        return Coactivation(phi=phi.numpy(), rates=rates.cpu().numpy(), n=self.n)


class MoeficationAffinity:
    """Σ over batches of eight rows of min(1, Σ h hᵀ), h ≥ 0 (2110.01786, its released code).

    Batches are cut from the rows in order: any chunks of `update` give the same sum, and parts
    whose lengths are multiples of `batch` merge to the whole.
    """

    def __init__(
        self, n_neurons: int, *, batch: int = 8, device: torch.device | str = "cpu"
    ) -> None:
        if batch < 1:
            raise BadInput(f"batches of {batch} rows: expected at least 1")
        self.batch = batch
        self._sum = torch.zeros((n_neurons, n_neurons), dtype=torch.float64, device=device)
        self._rest = torch.zeros((0, n_neurons), device=device)

    def update(self, h: Float[Tensor, "rows neurons"]) -> None:
        """Take in rows; those that do not fill a batch wait for the next."""
        _check_rows(h, self._sum)
        rows = torch.cat([self._rest, h.to(self._rest).clamp(min=0)])
        whole = len(rows) - len(rows) % self.batch
        self._add(rows[:whole].reshape(-1, self.batch, rows.shape[1]))
        self._rest = rows[whole:].clone()

    def merge(self, other: "MoeficationAffinity") -> None:
        """Take in what was gathered from other rows; a batch that was not full counts as one."""
        _check_width(other._sum, self._sum)
        self._sum += other.finish().to(self._sum)

    def finish(self) -> Float32[Tensor, "neurons neurons"]:
        """The affinity, its diagonal included."""
        total = self._sum.clone()
        if len(self._rest):
            total += (self._rest.T @ self._rest).clamp(max=1).double()
        return total.float()

    def _add(self, batches: Float[Tensor, "batches batch neurons"]) -> None:
        step = max(_BLOCK_ENTRIES // max(self._sum.numel(), 1), 1)
        for some in batches.split(step):
            self._sum += (some.mT @ some).clamp_(max=1).double().sum(0)


def moefication_weights(
    affinity: Float32[Tensor, "neurons neurons"],
) -> Float32[Tensor, "neurons neurons"]:
    """Whole-number weights of the graph that MoEfication cuts: ⌊affinity / threshold⌋, 0 on itself.

    The threshold is 0.99 times the first decile of the affinity that is not 0 (2110.01786, its
    released code). Raises BadInput where no two neurons were ever on together.
    """
    entries = affinity.flatten().sort().values
    picks = [min(int(len(entries) * share / 10), len(entries) - 1) for share in range(1, 11)]
    found = next((float(entries[i]) for i in picks if entries[i] > 0), 0.0)
    if found <= 0:
        raise BadInput("no two neurons are ever on together: there is no graph to cut")
    weights = (affinity / (0.99 * found)).floor()
    weights.fill_diagonal_(0)
    return weights


def _check_rows(h: Tensor, square: Tensor) -> None:
    if h.shape[1] != square.shape[1]:
        raise Mismatch(f"rows of {h.shape[1]} neurons, for a layer of {square.shape[1]}")
    if not bool(torch.isfinite(h).all()):
        raise BadInput("the rows hold NaN or infinity: capture them again in float32")


def _check_width(other: Tensor, own: Tensor) -> None:
    if other.shape != own.shape:
        raise Mismatch(f"counts of {len(other)} and of {len(own)} neurons are not of one layer")
