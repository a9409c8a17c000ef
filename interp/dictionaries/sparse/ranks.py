"""What the processes of one training run must agree on: sums, a global k-th largest, row counts."""

from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Ranks(Protocol):
    """The processes that each hold a part of every batch."""

    def all_sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, the same bits on each."""
        ...

    def all_min(self, tensor: Tensor) -> Tensor:
        """The elementwise least over processes."""
        ...

    def global_kth_largest(self, values: Float[Tensor, " n"], k: int) -> Float[Tensor, ""]:
        """The k-th largest of all processes' values; minus infinity when there are fewer."""
        ...

    def n_rows_global(self, n_rows: int) -> int:
        """The rows of the whole batch, of which this process holds `n_rows`."""
        ...


class OneProcess:
    """Ranks of a run that holds the whole batch itself."""

    def all_sum(self, tensor: Tensor) -> Tensor:
        return tensor

    def all_min(self, tensor: Tensor) -> Tensor:
        return tensor

    def global_kth_largest(self, values: Float[Tensor, " n"], k: int) -> Float[Tensor, ""]:
        return kth_largest(values, k)

    def n_rows_global(self, n_rows: int) -> int:
        return n_rows


class ProcessGroup:
    """Ranks of a `torch.distributed` process group; every rank holds as many rows.

    The exchange for a k-th largest is each rank's own k largest values, not its batch.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.size = dist.get_world_size(group)

    def all_sum(self, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM, group=self.group)
        return total

    def all_min(self, tensor: Tensor) -> Tensor:
        least = tensor.clone()
        dist.all_reduce(least, op=dist.ReduceOp.MIN, group=self.group)
        return least

    def global_kth_largest(self, values: Float[Tensor, " n"], k: int) -> Float[Tensor, ""]:
        own = values.topk(k, sorted=False).values if values.numel() > k else values
        most = torch.tensor([own.numel()], device=values.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX, group=self.group)
        padded = own.new_full((int(most),), -torch.inf)
        padded[: own.numel()] = own
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded, group=self.group)
        return kth_largest(torch.cat(parts), k)

    def n_rows_global(self, n_rows: int) -> int:
        return n_rows * self.size


ONE_PROCESS = OneProcess()


def kth_largest(values: Float[Tensor, " n"], k: int) -> Float[Tensor, ""]:
    """The k-th largest value; minus infinity when there are fewer than k, infinity for k = 0."""
    if k == 0:
        return values.new_full((), torch.inf)
    if values.numel() < k:
        return values.new_full((), -torch.inf)
    return values.kthvalue(values.numel() - k + 1).values
