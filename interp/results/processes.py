"""Whether this process was started with others, read from what the launcher set: no torch."""

import os

from interp.results.errors import Unsupported


def started_together() -> bool:
    """Whether this process was started with others, by `accelerate launch` or `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def check_alone(what: str) -> None:
    """Raise Unsupported if others were started with this process: all would do the same work."""
    if started_together():
        raise Unsupported(
            f"{what} runs in one process: start it without `accelerate launch` or `torchrun`"
        )
