"""An alignment under way: a directory beside its result that a resumed one goes on from."""

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from interp.abilities.allo.checkpoint import StageState
from interp.results.atomic import write_json
from interp.results.errors import BadInput, CorruptFile, Mismatch

SCHEMA = "interp.align/1"
_PLAN = "plan.json"


class Unfinished:
    """`OUT.unfinished`: the plan of an alignment and the state of its stages."""

    def __init__(self, out: Path, *, every: int) -> None:
        self.path = out.with_name(f"{out.name}.unfinished")
        self._every = every

    def open(self, plan: dict[str, Any], *, resume: bool, processes: Accelerator) -> None:
        """Start the directory, or find the same plan in it; all processes return together.

        Raises BadInput where one is there and is not to be resumed, Mismatch where it has another
        plan.
        """
        exists = (self.path / _PLAN).is_file()
        if exists and not resume:
            raise BadInput(
                f"{self.path} holds an alignment that was interrupted: pass --resume to go on, or "
                "delete it"
            )
        if exists:
            self._check(plan)
        processes.wait_for_everyone()
        if not exists and processes.is_main_process:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / _PLAN, {"schema": SCHEMA, **plan})
        processes.wait_for_everyone()

    def state(self, stage: str) -> StageState:
        """Where a stage is put down."""
        return StageState(file=self.path / f"{stage}.safetensors", every=self._every)

    def remove(self) -> None:
        """Delete the directory: the result is written."""
        shutil.rmtree(self.path)

    def _check(self, plan: dict[str, Any]) -> None:
        file = self.path / _PLAN
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CorruptFile(f"{file} is not JSON ({error}): delete {self.path}") from error
        now = json.loads(json.dumps({"schema": SCHEMA, **plan}))
        if before == now:
            return
        known = before if isinstance(before, dict) else {}
        other = [key for key in now if known.get(key) != now[key]]
        raise Mismatch(
            f"{self.path} was started with another {', '.join(other) or 'plan'}: give the same "
            "command to resume, or delete it"
        )
