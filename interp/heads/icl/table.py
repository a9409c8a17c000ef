"""LevelCurves as a table, as notes under it, and for machines."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.results.intervals import Interval

if TYPE_CHECKING:
    from interp.heads.icl.levels import LevelCurves


def levels_table(curves: "LevelCurves") -> tuple[list[str], list[list[str]]]:
    """A checkpoint and task each, at the most lines shown."""
    heading = ["checkpoint", "task", "format", "shuffled", "pattern", "shuffled ", "legal",
               "chance", "legal mass", "margin", "least k"]  # fmt: skip
    own = {name: curves.share(name) for name in ("format", "pattern", "legal")}
    other = {name: curves.share(name, shuffled=True) for name in ("format", "pattern")}
    least = curves.least_shots()
    lines = []
    for s, name in enumerate(names_of(curves)):
        for t, task in enumerate(curves.tasks):
            at = s, t, -1
            lines.append(
                [
                    name,
                    task.name,
                    _interval(own["format"], at),
                    f"{other['format'].value[at]:.2f}",
                    _interval(own["pattern"], at),
                    f"{other['pattern'].value[at]:.2f}",
                    _interval(own["legal"], at),
                    f"{task.chance:.2f}",
                    f"{curves.said.legal_mass[at].mean():.3f}",
                    f"{curves.said.margin[at].mean():+.2f}",
                    "none" if np.isnan(least[s, t]) else f"{least[s, t]:.0f}",
                ]
            )
    return heading, lines


def levels_notes(curves: "LevelCurves") -> list[str]:
    """How to read the table; words that fell short; the loss along the text."""
    unasked = (curves.provenance.settings or {}).get("tasks_not_asked")
    lines = [f"The English tasks were not asked, give others with --tasks: {unasked}"] * bool(
        unasked
    )
    lines += [
        f"Shares of {curves.n_prompts} prompts a task with {curves.shots[-1]} lines shown, with "
        "Wilson's 95% interval. Shuffled: the shown labels drawn at random, which leaves the "
        "format and takes the pattern. Legal: the right label is the likeliest of the task's.",
        f"Least k: the fewest lines of {', '.join(map(str, curves.shots))} with pattern above .8.",
    ] * bool(curves.tasks)
    lines += [
        f"{task.name}: {n} words of {place} are one token ({task.n_given[place]} given); 12 are "
        "wanted."
        for task in curves.tasks
        for place, n in task.n_words.items()
        if n < 12
    ]
    reduction = curves.loss_reduction()
    for s, name in enumerate(names_of(curves)):
        for w, (i, j) in enumerate(curves.windows):
            own, foreign = (Interval(*reduction[s, w, k]) for k in range(2))
            lines.append(
                f"{name}: loss of tokens {j} to {i + j} less that of the first {i}: {own} nats; "
                f"after another text's beginning {foreign}."
            )
    if not curves.windows:
        lines.append("No text was given (--text): loss reduction was not measured.")
    return lines


def levels_json(curves: "LevelCurves") -> dict[str, Any]:
    """By step, task and shots, with the baselines."""
    shares = {
        f"{name}{'_shuffled' if shuffled else ''}": {
            end: _plain(value)
            for end, value in curves.share(name, shuffled=shuffled)._asdict().items()
        }
        for name in ("format", "pattern", "legal")
        for shuffled in (False, True)
    }
    return {
        "models": list(curves.models),
        "steps": list(curves.steps),
        "tasks": [asdict(task) for task in curves.tasks],
        "shots": list(curves.shots),
        "n_prompts": curves.n_prompts,
        "levels": shares,
        "legal_mass": _plain(curves.said.legal_mass.mean(axis=-1)),
        "margin": _plain(curves.said.margin.mean(axis=-1)),
        "success": _plain(curves.success()),
        "least_shots": _plain(curves.least_shots()),
        "windows": [list(window) for window in curves.windows],
        "loss_reduction": _plain(curves.loss_reduction()),
        "changes": [change._asdict() for change in curves.changes()],
    }


def names_of(curves: "LevelCurves") -> list[str]:
    """Every checkpoint by its step, a model that has none by its name."""
    return [
        model if step is None else str(step)
        for model, step in zip(curves.models, curves.steps, strict=True)
    ]


def _interval(shares: Any, at: tuple[int, int, int]) -> str:
    return f"{shares.value[at]:.2f} [{shares.low[at]:.2f}, {shares.high[at]:.2f}]"


def _plain(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _plain(values.tolist())
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values
