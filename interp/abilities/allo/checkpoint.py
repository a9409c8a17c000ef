"""The state of a stage on disk: entries, optimizer moments, step and losses, in one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interp.abilities.training.packed_entries import PackedEntries
from interp.results.atomic import atomic_file
from interp.results.errors import CorruptFile

SCHEMA = "interp.align-state/1"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class StageState:
    """Where and how often a stage is put down, and found again."""

    file: Path
    every: int
    """Updates between two writings; the last update is always written."""

    def save(
        self,
        entries: PackedEntries,
        optimizer: torch.optim.Optimizer,
        *,
        step: int,
        losses: Float[Tensor, " steps"],
        finished: bool,
    ) -> None:
        """Replace the file with the state after `step` updates; a finished stage has no moments."""
        tensors = {"losses": losses.detach().cpu()}
        for name, values in zip(entries.names, entries.parameters(), strict=True):
            tensors[f"values.{name}"] = values.detach().cpu()
            if not finished:
                of_entry = optimizer.state[values]
                tensors.update({f"{m}.{name}": of_entry[m].cpu() for m in _MOMENTS})
        metadata = {"schema": SCHEMA, "step": str(step)}
        with atomic_file(self.file) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    def load(
        self, entries: PackedEntries, optimizer: torch.optim.Optimizer | None, steps: int
    ) -> tuple[int, Float[Tensor, " steps"]]:
        """Put entries and moments back; the updates done and their losses, (0, zeros) at first.

        A finished stage has no moments and needs no optimizer. Raises CorruptFile where the file
        is not a state of these entries.
        """
        if not self.file.is_file():
            return 0, torch.zeros(steps)
        try:
            return _read(self.file, entries, optimizer, steps)
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0]
            raise CorruptFile(
                f"{self.file} is not a state of this stage ({first}): delete it"
            ) from error

    def finished(self, entries: PackedEntries, steps: int) -> Float[Tensor, " steps"] | None:
        """The losses of a stage that is done, its entries put back; None where it is not."""
        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as opened:
                done = int((opened.metadata() or {}).get("step", 0))
        except (SafetensorError, ValueError) as error:
            raise CorruptFile(f"{self.file} is not a state of this stage: delete it") from error
        return self.load(entries, None, steps)[1] if done == steps else None


def _read(
    file: Path, entries: PackedEntries, optimizer: torch.optim.Optimizer | None, steps: int
) -> tuple[int, Float[Tensor, " steps"]]:
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
        if metadata.get("schema") != SCHEMA:
            raise ValueError(f"schema {metadata.get('schema')!r}, expected {SCHEMA!r}")
        step = int(metadata["step"])
        losses = opened.get_tensor("losses")
        if losses.shape != (steps,):
            raise ValueError(f"{len(losses)} steps, expected {steps}")
        tensor: Callable[[str], Tensor] = opened.get_tensor
        entries.load({name: tensor(f"values.{name}") for name in entries.names})
        if optimizer is not None:
            for name, values in zip(entries.names, entries.parameters(), strict=True):
                moments = {m: tensor(f"{m}.{name}").to(values.device) for m in _MOMENTS}
                # The fused optimizer counts on the device of its parameters.
                counted = torch.tensor(float(step), device=values.device)
                optimizer.state[values] = {"step": counted, **moments}
    return step, losses
