"""Run one stage of an alignment: the model's chosen entries move, every other bit stays."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from interp.abilities.allo.batches import pairs_of_step
from interp.abilities.allo.checkpoint import StageState
from interp.abilities.allo.forward import stage_batch
from interp.abilities.allo.log_probs import ReferenceLogProbs, reference_log_probs
from interp.abilities.allo.objectives import Objective, objective_of
from interp.abilities.allo.pairs import EncodedPairs
from interp.abilities.allo.stages import StageRecipe
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.training.masked_training import dense_masks
from interp.abilities.training.packed_entries import PackedEntries
from interp.abilities.training.processes import check_parts, join_processes, summed, together
from interp.models.trainable import TrainableModel
from interp.models.training import adamw, warmup_cosine


def run_stage(
    trained: TrainableModel,
    pairs: EncodedPairs,
    recipe: StageRecipe,
    *,
    mask: NeuronMask | None = None,
    reference: ReferenceLogProbs | None = None,
    objective: Objective | None = None,
    processes: Accelerator | None = None,
    state: StageState | None = None,
    on_progress: Callable[..., None] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train `trained` in place by one stage; the loss of every update, in nats.

    With a mask only its entries move. The reference is the model as it is given, or log-probs of
    another. `state` resumes where its file stands and writes there; the bits at the end are then
    those of an uninterrupted run. Under several processes all must call it with the same
    arguments, and all end with the same weights; pairs of an update are dealt out among them.
    """
    objective = objective or objective_of(recipe.stage)
    processes = processes or join_processes(trained.model.device.type)
    check_parts(recipe.batch_size, processes, pieces=recipe.accumulate)
    entries = chosen_entries(trained, recipe, mask)
    steps = recipe.steps_for(len(pairs))
    of_finished = None if state is None else state.finished(entries, steps)
    if of_finished is not None:
        return of_finished.double().numpy()
    before = reference or reference_log_probs(
        trained.model, pairs, sides=objective.sides, accelerator=processes
    )
    optimizer = adamw(
        entries.parameters() or [nn.Parameter(torch.zeros(1))],
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
    )
    done, losses = state.load(entries, optimizer, steps) if state else (0, torch.zeros(steps))
    # What was summed over the processes before is carried on by one of them.
    losses = losses.to(trained.model.device) * processes.is_main_process
    with together(processes, trained.model) as model:
        run = _Run(model, entries, optimizer, processes, objective, recipe)
        for step in range(done, steps):
            share = warmup_cosine(step, steps=steps, warmup=recipe.rising_steps(steps))
            optimizer.param_groups[0]["lr"] = recipe.lr * share
            at_start = step == 0 and reference is None
            losses[step] = _update(run, pairs, before, step=step, at_start=at_start)
            if state is not None and ((step + 1) % state.every == 0 or step + 1 == steps):
                _put_down(run, state, losses, done=step + 1)
            if on_progress is not None:
                on_progress(1)
    return summed(processes, losses).cpu().numpy().astype(np.float64)


def chosen_entries(
    trained: TrainableModel, recipe: StageRecipe, mask: NeuronMask | None
) -> PackedEntries:
    """The entries that a stage moves; all others are frozen."""
    frozen = trained.embeddings if recipe.freeze_embeddings else frozenset()
    for name in frozen:
        trained.parameters[name].requires_grad_(False)
    free = {name: p for name, p in trained.parameters.items() if name not in frozen}
    return PackedEntries(free, None if mask is None else dense_masks(mask, trained))


@dataclass(frozen=True)
class _Run:
    model: nn.Module
    entries: PackedEntries
    optimizer: torch.optim.Optimizer
    processes: Accelerator
    objective: Objective
    recipe: StageRecipe


def _update(
    run: _Run, pairs: EncodedPairs, reference: ReferenceLogProbs, *, step: int, at_start: bool
) -> Float[Tensor, ""]:
    """One update of the chosen entries; this process's part of its loss."""
    recipe, processes = run.recipe, run.processes
    update = pairs_of_step(len(pairs), batch_size=recipe.batch_size, step=step, seed=recipe.seed)
    own = update[processes.process_index :: processes.num_processes]
    total = torch.zeros((), device=next(run.model.parameters()).device)
    run.optimizer.zero_grad(set_to_none=True)
    for piece in range(recipe.accumulate):
        last = piece + 1 == recipe.accumulate
        with nullcontext() if last else processes.no_sync(run.model):
            batch = stage_batch(
                run.model,
                pairs,
                reference,
                rows=own[piece :: recipe.accumulate],
                update=update,
                sides=run.objective.sides,
                at_start=at_start,
            )
            loss = run.objective.loss(batch, recipe)
            if loss.requires_grad:
                # Gradients are averaged over the processes, and the losses are to be added.
                processes.backward(loss * processes.num_processes)
        total += loss.detach()
    run.entries.gather()
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.entries.parameters(), recipe.clip_norm)
    run.optimizer.step()
    run.entries.scatter()
    return total


def _put_down(run: _Run, state: StageState, losses: Tensor, *, done: int) -> None:
    """Write the state on one process while the others wait."""
    total = summed(run.processes, losses)
    if run.processes.is_main_process:
        finished = done == len(losses)
        state.save(run.entries, run.optimizer, step=done, losses=total, finished=finished)
    run.processes.wait_for_everyone()
