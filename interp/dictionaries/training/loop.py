"""The loop of a run: one read of the rows, a step of every dictionary, logs and checkpoints."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp.capture.interruption import Interrupted, interruptible
from interp.dictionaries.architectures import seeded
from interp.dictionaries.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    save_checkpoint,
)
from interp.dictionaries.training.learner import Learner
from interp.dictionaries.training.log import Tracker, append_line
from interp.dictionaries.training.preparation import estimated_mean, estimated_scaler
from interp.dictionaries.training.processes import Processes
from interp.dictionaries.training.recipe import TrainingSettings
from interp.dictionaries.training.rows import Batch, Position, training_batches
from interp.dictionaries.training.source import RowSource
from interp.dictionaries.training.view import View, note, training_view
from interp.dictionaries.training.workspace import Workspace
from interp.results.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that one run works with."""

    learners: Sequence[Learner]
    source: RowSource
    workspace: Workspace
    processes: Processes
    settings: TrainingSettings
    checkpoint_every: int
    tracker: Tracker | None


def run_to_the_end(run: Run) -> None:
    """Train every learner of `run` from its last checkpoint, or from the start, to its last step.

    Raises Interrupted after Ctrl-C, with a checkpoint saved; BadInput if a loss is not finite.
    """
    with seeded(run.settings.seed), interruptible() as interrupted:
        step, position = _resume(run)
        done = step * run.settings.batch_size
        shown = run.processes.is_first
        with training_view(run.settings.n_tokens, done, shown=shown) as view:
            _steps(run, step, position, interrupted=interrupted, view=view)


def _steps(run: Run, done: int, position: Position, *, interrupted: Any, view: View) -> None:
    last = run.settings.n_steps
    if done == last:
        return
    with closing(_batches(run, position)) as batches:
        for step, batch in enumerate(batches, start=done + 1):
            view(run.settings.batch_size, _step(run, step, batch))
            _say_if_again(run, position, batch.then)
            position = batch.then
            stop = run.processes.any(interrupted())
            if stop or step % run.checkpoint_every == 0 or step == last:
                _save(run, step, position)
            if step == last:
                return
            if stop:
                raise Interrupted(
                    f"interrupted: {step:,} of {last:,} steps are in {run.workspace.path}, whole "
                    "and safe; run the same command to go on"
                )


def _step(run: Run, step: int, batch: Batch) -> dict[str, dict[str, Any]]:
    """One step of every learner; what is said of it by name, on the steps that are logged."""
    settings = run.settings
    log = step % settings.log_every == 0 or step in (1, settings.n_steps)
    said = {learner.recipe.name: learner.learn(batch.rows, log=log) for learner in run.learners}
    if not log:
        return {}
    if run.processes.is_first:
        _log(run, said)
    _refuse_divergence(said)
    return said


def _batches(run: Run, position: Position) -> Generator[Batch, None, None]:
    batches = training_batches(
        run.source,
        batch_size=run.settings.batch_size,
        start=position,
        share=run.processes.share,
        device=run.processes.device,
    )
    with closing(batches):
        yield from batches


def _say_if_again(run: Run, before: Position, then: Position) -> None:
    """Rows that come a second time are told of; of a store the forecast did."""
    unknown = run.source.facts.n_rows is None
    if unknown and run.processes.is_first and before.epoch == 0 and then.epoch == 1:
        note("the rows came to their end: they come again")


def _resume(run: Run) -> tuple[int, Position]:
    """Put the last checkpoint into the learners, or start them; the step and position reached."""
    found = latest_checkpoint(run.workspace.path)
    run.processes.wait()
    if found is None:
        if run.processes.is_first:
            run.workspace.cut_logs({})
        _start(run)
        return 0, Position()
    for learner in run.learners:
        learner.restore(found.states[learner.recipe.name])
    _set_random(found.random, run.processes.device)
    if run.processes.is_first:
        run.workspace.cut_logs(found.log_bytes)
        note(f"going on after step {found.step:,} of {run.settings.n_steps:,}")
    return found.step, found.position


def _start(run: Run) -> None:
    device = run.processes.device
    scalers: dict[str, Any] = {}
    means: dict[tuple[str, ...], Tensor] = {}
    for learner in run.learners:
        recipe = learner.recipe
        if recipe.site not in scalers:
            scalers[recipe.site] = estimated_scaler(recipe, run.source, device=device)
        scaler = scalers[recipe.site]
        if run.settings.b_dec == "mean" and recipe.sites not in means:
            means[recipe.sites] = estimated_mean(recipe, run.source, scaler, device=device)
        learner.start_at(scaler, means.get(recipe.sites))


def _log(run: Run, said: Mapping[str, Mapping[str, Any]]) -> None:
    for learner in run.learners:
        name = learner.recipe.name
        append_line(run.workspace.log(learner.recipe), said[name])
        if run.tracker is not None:
            run.tracker.log(name, said[name])


def _refuse_divergence(said: Mapping[str, Mapping[str, Any]]) -> None:
    for name, values in said.items():
        if not math.isfinite(values["loss"]):
            raise BadInput(
                f"{name}: the loss is {values['loss']} at step {values['step']:,}, with lr "
                f"{values['lr']:g}: begin anew with --overwrite and a lower --lr"
            )


def _save(run: Run, step: int, position: Position) -> None:
    if run.processes.is_first:
        save_checkpoint(
            run.workspace.path,
            Checkpoint(
                step=step,
                position=position,
                random=_random(run.processes.device),
                log_bytes={
                    learner.recipe.name: run.workspace.log(learner.recipe).stat().st_size
                    for learner in run.learners
                },
                states={learner.recipe.name: learner.state() for learner in run.learners},
            ),
        )
    run.processes.wait()


def _random(device: str) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random(states: Mapping[str, Tensor], device: str) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
