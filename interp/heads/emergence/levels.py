"""Curves of LevelCurves over the checkpoints of a series, to be held against those of heads."""

import numpy as np

from interp.heads.emergence.curve import Curve, mean_curve
from interp.heads.icl.levels import LevelCurves
from interp.results.errors import Mismatch


def level_curves(
    levels: LevelCurves, steps: tuple[int, ...], hashes: tuple[str | None, ...]
) -> list[Curve]:
    """Format and pattern of every task at the most lines, and the loss reduction of each window.

    Loss reduction is early loss less late loss here, so that more is more, as in the others. Raises
    Mismatch where a checkpoint of the series is not among those measured, or has other weights.
    """
    rows = [_row(levels, step, model) for step, model in zip(steps, hashes, strict=True)]
    k = levels.shots[-1]
    curves = [
        mean_curve(
            f"{level} of {task.name}, k={k}",
            f"prompts of {task.name}",
            getattr(levels.said, level)[rows, t, -1].astype(np.float64),
        )
        for t, task in enumerate(levels.tasks)
        for level in ("format", "pattern")
    ]
    for w, (i, j) in enumerate(levels.windows):
        reduction = levels.loss[rows, w, 0] - levels.loss[rows, w, 1]
        curves.append(mean_curve(f"loss reduction {i}, {j}", "sequences of the text", reduction))
    return curves


def _row(levels: LevelCurves, step: int, model: str | None) -> int:
    if step not in levels.steps:
        there = ", ".join(str(one) for one in levels.steps)
        raise Mismatch(
            f"the levels (--icl) were not measured at step {step}, but at {there}: measure them at "
            "every checkpoint of the series, or choose --steps"
        )
    row = levels.steps.index(step)
    if levels.model_hashes[row] != model:
        raise Mismatch(
            f"the levels (--icl) are of other weights at step {step}: measure them again"
        )
    return row
