"""The processes that train together, as `accelerate launch` or `torchrun` started them."""

from accelerate import Accelerator
from accelerate.utils import DistributedType

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


def place_of(processes: Accelerator, device: str) -> str:
    """The device of this process: the one asked for, or its own among several."""
    return device if processes.num_processes == 1 else str(processes.device)
