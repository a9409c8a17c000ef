"""Which part of a store this process records, when `torchrun` started several."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

from interp.results.errors import InterpError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ranks:
    """This process among its peers; whole shards go round the ranks in turn."""

    rank: int
    world: int

    def records(self, shard: int) -> bool:
        """Whether this rank computes shard number `shard`."""
        return shard % self.world == self.rank

    def first_only(self, action: Callable[[], Result]) -> Result | None:
        """Run `action` on rank 0 while the others wait; its error is raised on every rank."""
        if self.world == 1:
            return action()
        result, failure = None, None
        if self.rank == 0:
            try:
                result = action()
            except InterpError as error:
                failure = error
        told: list[Any] = [failure]
        dist.broadcast_object_list(told, src=0)
        if told[0] is not None:
            raise told[0]
        return result

    def share(self, value: Result) -> list[Result]:
        """Every rank's `value`, in order of rank; waits for all of them."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values


def current_ranks() -> Ranks:
    """This process's place; joins the group that `torchrun` describes if nobody has yet."""
    if not dist.is_available():
        return Ranks(0, 1)
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Ranks(0, 1)
        dist.init_process_group("gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())
