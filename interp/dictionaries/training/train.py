"""Dictionaries trained on the rows of a store, or on those a model makes as they are needed."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interp.capture.loader import BUFFER_BYTES
from interp.capture.store import ActivationStore
from interp.dictionaries.training.learner import Learner
from interp.dictionaries.training.log import open_tracker
from interp.dictionaries.training.loop import Run, run_to_the_end
from interp.dictionaries.training.plan import TrainingPlan, plan_training, training_settings
from interp.dictionaries.training.processes import join
from interp.dictionaries.training.settling import unsettled
from interp.dictionaries.training.source import RowSource
from interp.dictionaries.training.view import note
from interp.dictionaries.training.workspace import Workspace
from interp.results.errors import BadInput

CHECKPOINT_EVERY = 500


def train(
    store: ActivationStore | Path | str | RowSource,
    out: Path | str,
    *,
    site: str | Sequence[str],
    d_sae: int | Sequence[int],
    n_tokens: int,
    arch: str = "batchtopk",
    k: int | float | Sequence[int | float] | None = None,
    site_out: str | Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    batch_size: int = 4096,
    lr: float = 3e-4,
    lr_end: float | None = None,
    lr_schedule: str = "constant",
    lr_warm_up_steps: int = 0,
    lr_decay_steps: int = 0,
    n_restart_cycles: int = 1,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    normalize: str = "none",
    n_batches_for_norm_estimate: int = 1000,
    b_dec: str | None = None,
    dead_feature_window: int = 1000,
    seed: int = 0,
    buffer_bytes: int = BUFFER_BYTES,
    log_every: int = 50,
    checkpoint_every: int = CHECKPOINT_EVERY,
    log_to: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    command: str | None = None,
) -> list[Path]:
    """Directories of the dictionaries trained on the rows of a store, one read for all of them.

    Every combination of sites (wildcards allowed), widths and sparsities is one dictionary: `out`
    itself where there is one, `out/NAME` where there are several. `arch` is any training
    architecture of sae-lens by its own name, `transcoder` or `skip_transcoder`; `options` are the
    fields of its sae-lens config, and a list where one value belongs is a sweep over it. The other
    settings are those of sae-lens's trainer, as `training_settings` says. `store` may be a
    `LiveSource`, which computes its rows from a model as they are needed.

    A run that was killed goes on with the same call from its last checkpoint, in `OUT.training`,
    and ends with the same bytes; one that is finished is left as it is. Under `torchrun` each
    global batch of `batch_size` rows is shared by the processes. Raises Mismatch where `out` is of
    another recipe, BadInput for a wrong setting and for rows that are not finite, Unsupported for
    what several processes cannot share, Interrupted after Ctrl-C.
    """
    settings = training_settings(
        arch=arch,
        n_tokens=n_tokens,
        batch_size=batch_size,
        lr=lr,
        lr_end=lr_end,
        lr_schedule=lr_schedule,
        lr_warm_up_steps=lr_warm_up_steps,
        lr_decay_steps=lr_decay_steps,
        n_restart_cycles=n_restart_cycles,
        adam_beta1=adam_beta1,
        adam_beta2=adam_beta2,
        normalize=normalize,
        n_batches_for_norm_estimate=n_batches_for_norm_estimate,
        b_dec=b_dec,
        dead_feature_window=dead_feature_window,
        seed=seed,
        buffer_bytes=buffer_bytes,
        log_every=log_every,
    )
    plan = plan_training(
        store,
        site=site,
        d_sae=d_sae,
        settings=settings,
        arch=arch,
        k=k,
        site_out=site_out,
        options=options,
    )
    return execute(
        plan,
        out,
        checkpoint_every=checkpoint_every,
        log_to=log_to,
        device=device,
        overwrite=overwrite,
        command=command,
    )


def execute(
    plan: TrainingPlan,
    out: Path | str,
    *,
    checkpoint_every: int = CHECKPOINT_EVERY,
    log_to: str | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    command: str | None = None,
) -> list[Path]:
    """Carry out a plan: the second half of `train`."""
    if checkpoint_every < 1:
        raise BadInput(f"checkpoint-every is {checkpoint_every}: at least 1")
    processes = join(device, plan.settings.batch_size)
    workspace = Workspace(Path(out), plan.recipes)
    if not overwrite and workspace.is_finished():
        processes.first_only(workspace.discard)
        return workspace.results
    learners = [
        Learner(recipe, device=processes.device, ranks=processes.ranks) for recipe in plan.recipes
    ]
    tracker = processes.first_only(
        lambda: open_tracker(log_to, Path(out), plan.recipes[0].to_json())
    )
    with ExitStack() as stack:
        if tracker is not None:
            stack.callback(tracker.close)
        held = workspace.held(overwrite=overwrite)
        processes.first_only(lambda: stack.enter_context(held))
        if processes.is_first:
            note(forecast(plan))
            if (warning := unsettled(plan.recipes)) is not None:
                note(warning)
        run_to_the_end(
            Run(
                learners=learners,
                source=plan.source,
                workspace=workspace,
                processes=processes,
                settings=plan.settings,
                checkpoint_every=checkpoint_every,
                tracker=tracker,
            )
        )
        told = command or f"interp.train_dictionary({plan.source.facts.name!r}, ...)"
        finished = [learner.finish(told) for learner in learners]
        processes.first_only(lambda: workspace.publish(finished, overwrite=overwrite))
    return workspace.results


def forecast(plan: TrainingPlan) -> str:
    """One line: how many dictionaries, steps and epochs, and how much memory."""
    from interp.capture.budget import show_bytes

    settings = plan.settings
    several = len(plan.recipes) > 1
    rows = f"{plan.source.facts.n_rows:,} rows" if plan.source.facts.n_rows else "rows made live"
    text = (
        f"{len(plan.recipes)} dictionar{'ies' if several else 'y'}, {settings.n_steps:,} steps of "
        f"{settings.batch_size:,} of {rows}, about {show_bytes(plan.memory_bytes)} of memory"
    )
    if plan.epochs is not None and plan.epochs > 1:
        text += f"; more than there are: every row comes {plan.epochs:.1f} times"
    return text
