"""Function-vector heads from Python: the scores, and the runs behind them."""

from collections.abc import Sequence
from typing import NamedTuple

from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.cost import Say, stated, to_standard_error
from interp.heads.detector import Scoring
from interp.heads.detectors.function_vector import DETECTOR
from interp.heads.function_vectors.conclude import conclude
from interp.heads.function_vectors.effects import (
    Settings,
    TaskEffects,
    cost,
    make_prompts,
    measure_effects,
)
from interp.heads.function_vectors.prompts import TEMPLATE
from interp.heads.function_vectors.tasks import Task, tasks_hash
from interp.heads.loaded import hash_as_loaded
from interp.heads.scores import HeadScores


class ScoredTasks(NamedTuple):
    """The scores of every head, and the effects that `function_vectors` makes vectors of."""

    scores: HeadScores
    effects: list[TaskEffects]


def score_function_vectors(
    bridge: TransformerBridge,
    tasks: Sequence[Task],
    *,
    template: str = TEMPLATE,
    n_shots: int = 10,
    n_donors: int = 100,
    n_trials: int = 25,
    donor_draws: int = 100,
    seed: int = 0,
    say: Say = to_standard_error,
) -> ScoredTasks:
    """The average indirect effect of every head, over all tasks and by task.

    Each draw shuffles the labels of all donor prompts anew; the forward passes grow with
    1 + `donor_draws`, and no p is below 1 / (1 + `donor_draws`). What it will cost is said first.
    Raises BadInput for a task of too few pairs, prompts beyond the context, a template that the
    tokenizer merges with the answer.
    """
    settings = Settings(
        template=template,
        n_shots=n_shots,
        n_donors=n_donors,
        n_trials=n_trials,
        donor_draws=donor_draws,
        seed=seed,
    )
    scoring = Scoring(
        bridge=bridge,
        geometry=HeadGeometry.of(bridge),
        model_hash=hash_as_loaded(bridge),
        command="interp heads score MODEL --detector function_vector",
        seed=seed,
        corpus_hashes={"items": tasks_hash(tasks)},
    )
    prompts = make_prompts(tasks, bridge, settings)
    say(stated(DETECTOR.name, cost(scoring.geometry, prompts)))
    effects = measure_effects(scoring.geometry, prompts)
    return ScoredTasks(conclude(DETECTOR, scoring, effects, settings), effects)
