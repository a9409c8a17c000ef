"""The processes of a run: one alone, or those that `torchrun` started, each with its rows."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from interp.capture.distributed import Ranks as Places
from interp.capture.distributed import current_ranks
from interp.dictionaries.sparse.ranks import ONE_PROCESS, ProcessGroup, Ranks
from interp.dictionaries.training.rows import Share
from interp.models.load import resolve_device
from interp.results.errors import BadInput

Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    places: Places
    ranks: Ranks
    device: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.places.rank == 0

    @property
    def share(self) -> Share:
        """Its rows of a global batch."""
        return Share(self.places.rank, self.places.world)

    def any(self, came: bool) -> bool:
        """Whether it came to any process; all hear the same."""
        if self.places.world == 1:
            return came
        flag = torch.tensor([float(came)], device=self.device)
        return bool(self.ranks.all_sum(flag).item())

    def wait(self) -> None:
        """Until every process is here."""
        self.places.share("here")

    def first_only(self, action: Callable[[], Result]) -> Result | None:
        """Run `action` on the first while the others wait; its error is raised on all."""
        return self.places.first_only(action)


def join(device: str, batch_size: int) -> Processes:
    """The processes started with this one; BadInput if a batch cannot be shared evenly."""
    resolved = resolve_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and resolved.type == "cuda":
        resolved = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(resolved)
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl")
    places = current_ranks()
    if batch_size % places.world:
        raise BadInput(
            f"a batch of {batch_size} rows cannot be shared evenly by {places.world} processes: "
            "give a --batch-size that can"
        )
    ranks = ONE_PROCESS if places.world == 1 else ProcessGroup()
    return Processes(places, ranks, str(resolved))
