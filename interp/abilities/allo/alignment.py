"""Alignment: what an alignment did, stage by stage, as written beside the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

LOG = "alignment.jsonl"


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """One stage: its budget, what was free to move, and its losses."""

    stage: str
    losses: Float[np.ndarray, " steps"]
    """In nats, of every update."""
    pairs_seen: int
    """Pairs of all updates, repeats counted."""
    entries: int
    """Entries that were free to move."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, with the first and the last loss."""
        return {
            "stage": self.stage,
            "steps": len(self.losses),
            "pairs_seen": self.pairs_seen,
            "entries": self.entries,
            "first_loss": float(self.losses[0]),
            "last_loss": float(self.losses[-1]),
        }


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """An aligned model and how it came about."""

    path: Path
    stages: tuple[StageReport, ...]
    n_entries: int
    """Entries of the model in all."""
    moved: int
    """Entries whose value is another than the base's."""
    n_pairs: int
    n_weighted: int
    """Pairs with token weights of their own; forgetting weighs the tokens of the others 1."""

    @property
    def steps(self) -> int:
        """Updates of all stages together, those of the warm-up too: the budget."""
        return sum(len(stage.losses) for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        counts = ("n_entries", "moved", "n_pairs", "n_weighted")
        return {
            "path": str(self.path),
            "steps": self.steps,
            **{name: getattr(self, name) for name in counts},
            "stages": [stage.to_json() for stage in self.stages],
        }

    def write_log(self, directory: Path) -> Path:
        """Write `alignment.jsonl`: stage, step and loss of every update, a line each."""
        lines = [
            json.dumps({"stage": stage.stage, "step": step, "loss": float(loss)})
            for stage in self.stages
            for step, loss in enumerate(stage.losses)
        ]
        file = directory / LOG
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return file
