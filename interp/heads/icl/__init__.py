"""In-context learning: its three levels over shots and checkpoints (arXiv 2402.13055).

Loss reduction along a text, the form of an answer, and the answer. The labels of the tasks follow a
rule that stands nowhere but in the lines shown, so a model that answers has read them.

    curves = measure_levels("relations/grammar", "tasks.json", text="lines.txt")
    print(curves)
    curves.changes("pattern")           # McNemar from checkpoint to checkpoint
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interp.heads.icl.levels import LevelCurves

if TYPE_CHECKING:
    from interp.heads.icl.run import measure_levels
    from interp.heads.icl.tasks import open_tasks

__all__ = ["LevelCurves", "measure_levels", "open_tasks"]
_HOMES = {"measure_levels": "run", "open_tasks": "tasks"}


def __getattr__(name: str) -> Any:
    # A page that opens a finding must not load torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
