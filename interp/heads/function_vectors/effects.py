"""Every head's indirect effect on every task, with right donors and with shuffled ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.cost import Part, timed
from interp.heads.function_vectors.indirect import ROWS, LastToken, answer_log_probabilities
from interp.heads.function_vectors.means import batches, mean_head_outputs
from interp.heads.function_vectors.prompts import (
    TEMPLATE,
    Prompt,
    Split,
    Template,
    draw_shots,
    encode_shots,
    shuffled,
    split_pairs,
)
from interp.heads.function_vectors.tasks import Task
from interp.models.context import refuse_long_items
from interp.results.errors import BadInput
from interp.results.progress import progress

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How prompts are drawn; the defaults of 10 shots and 25 trials are the paper's code's."""

    template: str = TEMPLATE
    n_shots: int = 10
    n_donors: int = 100
    """Prompts whose mean is a head's donor."""
    n_trials: int = 25
    """Corrupt prompts on which a donor is put in."""
    donor_draws: int = 100
    """Times that the donors' labels are shuffled; no p is below 1 / (1 + this)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.n_shots, self.n_donors, self.n_trials, self.donor_draws) < 1:
            raise BadInput("shots, donors, trials and draws: expected at least 1 of each")


@dataclass(frozen=True, kw_only=True)
class TaskPrompts:
    """The prompts of one task."""

    name: str
    split: Split
    donors: tuple[tuple[Prompt, ...], ...]
    """The right ones, then the same with other shuffles of the labels."""
    trials: tuple[Prompt, ...]
    """With shuffled labels."""


@dataclass(frozen=True, kw_only=True)
class TaskEffects:
    """What replacing each head does on one task."""

    prompts: TaskPrompts
    donors: Float[Tensor, "donors n_layers n_heads d_head"]
    """Mean outputs: of right prompts, then of each shuffle."""
    probability: Float[np.ndarray, "donors n_layers n_heads trials"]
    """P(answer | z_h replaced) − P(answer)."""
    log_probability: Float[np.ndarray, "donors n_layers n_heads trials"]
    """The same difference of log-probabilities, in nats."""


def make_prompts(
    tasks: Sequence[Task], bridge: TransformerBridge, settings: Settings
) -> list[TaskPrompts]:
    """Prompts of every task; all shuffles of a donor have its demonstrations and its question."""
    template, tokenizer = Template(settings.template), bridge.tokenizer
    if tokenizer is None:
        raise BadInput("the model has no tokenizer: tasks are text and need one")
    if not tasks:
        raise BadInput("there is no task: give a file of pairs (task, input, output a line)")
    found = []
    for number, task in enumerate(tasks):
        rng = np.random.default_rng([settings.seed, number])
        split = split_pairs(task, n_shots=settings.n_shots, rng=rng)
        asked = {"n_shots": settings.n_shots, "rng": rng}
        right = draw_shots(split.shown, split.shown, n=settings.n_donors, **asked)
        trials = draw_shots(split.shown, split.asked, n=settings.n_trials, **asked)
        donors = [right, *([shuffled(s, rng) for s in right] for _ in range(settings.donor_draws))]
        found.append(
            TaskPrompts(
                name=task.name,
                split=split,
                donors=tuple(tuple(encode_shots(d, template, tokenizer)) for d in donors),
                trials=tuple(encode_shots([shuffled(s, rng) for s in trials], template, tokenizer)),
            )
        )
    _refuse_long(bridge, found)
    return found


def measure_effects(
    geometry: HeadGeometry,
    tasks: Sequence[TaskPrompts],
    *,
    rows: int = ROWS,
    batch_size: int = BATCH,
) -> list[TaskEffects]:
    """Indirect effects of every head on every task: `cost` says beforehand how many passes."""
    n_heads = geometry.n_layers * geometry.n_heads
    total = sum(len(task.donors) * len(task.trials) for task in tasks) * n_heads
    found = []
    with progress("replacing heads", total=total, unit="answers") as advance:
        for task in tasks:
            means = [mean_head_outputs(geometry, p, batch_size=batch_size) for p in task.donors]
            donors = torch.stack(means).float()
            plain, edited = answer_log_probabilities(
                geometry, task.trials, donors, rows=rows, batch_size=batch_size, advance=advance
            )
            found.append(
                TaskEffects(
                    prompts=task,
                    donors=donors,
                    probability=(edited.exp() - plain.exp()).cpu().numpy(),
                    log_probability=(edited - plain).cpu().numpy(),
                )
            )
    return found


@torch.no_grad()
def cost(
    geometry: HeadGeometry,
    tasks: Sequence[TaskPrompts],
    *,
    rows: int = ROWS,
    batch_size: int = BATCH,
) -> list[Part]:
    """Whole prompts and single tokens that `measure_effects` will run, each kind timed once."""
    some = tasks[0].trials[:batch_size]
    per_prompt = timed(lambda: mean_head_outputs(geometry, some, batch_size=batch_size)) / len(some)
    last = LastToken(geometry, next(batches(some, batch_size=batch_size, device=geometry.device)))
    layers, heads = geometry.n_layers, geometry.n_heads
    n_jobs = min(max(rows // len(some), 1), layers * heads)
    place = torch.arange(n_jobs, device=geometry.device)
    outputs = torch.zeros(n_jobs, geometry.d_head, device=place.device)
    once = lambda: last.replaced(place // heads % layers, place % heads, outputs)  # noqa: E731
    n_prompts = sum(len(d) for task in tasks for d in task.donors) + sum(
        len(task.trials) for task in tasks
    )
    n_single = sum(len(task.trials) * len(task.donors) for task in tasks) * layers * heads
    return [
        Part("prompts", n_prompts, per_prompt),
        Part("single tokens", n_single, timed(once) / (n_jobs * len(some))),
    ]


def _refuse_long(bridge: TransformerBridge, tasks: Sequence[TaskPrompts]) -> None:
    lengths = {
        f"{task.name}, prompt {number}": len(prompt.tokens)
        for task in tasks
        for number, prompt in enumerate((*task.donors[0], *task.trials))
    }
    refuse_long_items(bridge, lengths)
