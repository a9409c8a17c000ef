"""What a run says of its steps: log.jsonl, and a tracker where one is asked for."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from interp.results.errors import BadInput

LOG = "log.jsonl"
TRACKERS = ("wandb", "tensorboard")


@runtime_checkable
class Tracker(Protocol):
    """A service that draws the curves."""

    def log(self, name: str, said: Mapping[str, Any]) -> None:
        """Add one step of one dictionary."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


def append_line(file: Path, said: Mapping[str, Any]) -> None:
    """Add one JSON line; what is not finite is null. No clock: the same run, the same bytes."""
    kept = {name: value if _is_finite(value) else None for name, value in said.items()}
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(kept, allow_nan=False) + "\n")


def last_line(directory: Path) -> dict[str, Any]:
    """What the log of a finished dictionary says of its last step."""
    return json.loads((directory / LOG).read_text(encoding="utf-8").splitlines()[-1])


def open_tracker(kind: str | None, out: Path, settings: Mapping[str, Any]) -> Tracker | None:
    """The tracker of that name; BadInput where its package is not installed."""
    if kind is None:
        return None
    if kind not in TRACKERS:
        raise BadInput(f"there is no log-to {kind!r}: give {' or '.join(TRACKERS)}")
    try:
        return _Wandb(out, settings) if kind == "wandb" else _TensorBoard(out)
    except ImportError as error:
        raise BadInput(f"{kind} is not installed ({error}): pip install {kind}") from error


class _Wandb:
    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(project="interp-dictionaries", name=out.name, config=dict(settings))

    def log(self, name: str, said: Mapping[str, Any]) -> None:
        values = {f"{name}/{key}": value for key, value in said.items()}
        self._run.log(values, step=said["step"])

    def close(self) -> None:
        self._run.finish()


class _TensorBoard:
    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out.with_name(f"{out.name}.tensorboard")))

    def log(self, name: str, said: Mapping[str, Any]) -> None:
        for key, value in said.items():
            self._writer.add_scalar(f"{name}/{key}", value, said["step"])

    def close(self) -> None:
        self._writer.close()


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
