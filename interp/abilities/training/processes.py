"""The processes that train together, as `accelerate launch` or `torchrun` started them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from accelerate.utils import DistributedType
from jaxtyping import Float
from torch import Tensor, nn

from interp.models.training import TrainingBatch, next_token_loss
from interp.results.errors import BadInput, Unsupported

_REPLICATED = (
    *(DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU),
    DistributedType.MULTI_XPU,
)


def join_processes(device: str = "cpu", *, mixed_precision: str | None = None) -> Accelerator:
    """This process among those that were started with it; one alone where none were.

    Every process holds the whole model. `device` "cpu" joins over gloo; with any other each
    process takes an accelerator of its own. Weights and their updates are float32; with "bf16"
    forward and backward passes are computed in bfloat16. None leaves that to accelerate's own
    setting. Raises Unsupported for sharded models and float16, BadInput where this process was
    set up for something else before.
    """
    try:
        joined = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise BadInput(f"accelerate cannot be set up for {device} ({first})") from error
    if joined.distributed_type not in _REPLICATED:
        raise Unsupported(
            f"{joined.distributed_type.value} cuts the model among processes: start with "
            "`accelerate launch --multi_gpu` or `torchrun`, where each holds all of it"
        )
    if joined.mixed_precision not in ("no", "bf16"):
        raise Unsupported(
            f"mixed precision {joined.mixed_precision!r}: choose bf16, or no for float32"
        )
    return joined


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def together(processes: Accelerator, model: nn.Module) -> Iterator[nn.Module]:
    """The model as the processes train it, without dropout; put back as it was at the end."""
    model.eval()
    try:
        yield processes.prepare_model(model, device_placement=False)
    finally:
        processes.unwrap_model(model, keep_fp32_wrapper=False)
        processes.free_memory()


def summed(processes: Accelerator, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The sum over all processes, the same on each; `values` itself stays."""
    if processes.num_processes == 1:
        return values
    total = processes.reduce(values.clone(), reduction="sum")
    assert isinstance(total, Tensor)
    return total


def place_of(processes: Accelerator, device: str) -> str:
    """The device of this process: the one asked for, or its own among several."""
    return device if processes.num_processes == 1 else str(processes.device)


def check_parts(batch_size: int, processes: Accelerator, *, pieces: int = 1) -> None:
    """Raise BadInput unless a batch has an example for every piece of every process."""
    if batch_size < processes.num_processes * pieces:
        raise BadInput(
            f"a batch of {batch_size} cannot be cut in {pieces} pieces for each of "
            f"{processes.num_processes} processes: give a larger --batch-size"
        )


def own_part(batch: TrainingBatch, processes: Accelerator) -> TrainingBatch:
    """The examples of a batch that this process computes, dealt out in turn."""
    rows = slice(processes.process_index, None, processes.num_processes)
    return TrainingBatch(batch.tokens[rows], batch.target[rows])


def next_token_loss_over(
    processes: Accelerator,
) -> Callable[[nn.Module, TrainingBatch], Float[Tensor, ""]]:
    """A loss on a part whose mean over the processes is `next_token_loss` of the whole batch."""

    def loss(model: nn.Module, own: TrainingBatch) -> Float[Tensor, ""]:
        n_own = own.target[:, 1:].sum().float()
        share = n_own / summed(processes, n_own) * processes.num_processes
        return next_token_loss(model, own) * share

    return loss
