"""Function-vector heads: how far a head's mean output brings back a task with wrong labels."""

from dataclasses import fields

from interp.heads.cost import stated
from interp.heads.detector import Detector, Scoring
from interp.heads.function_vectors.conclude import conclude
from interp.heads.function_vectors.effects import (
    Settings,
    TaskPrompts,
    cost,
    make_prompts,
    measure_effects,
)
from interp.heads.function_vectors.tasks import read_tasks, tasks_hash
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput


def prompts_of(scoring: Scoring) -> tuple[list[TaskPrompts], Settings]:
    """The prompts of the tasks in `scoring.items`; made once a call."""
    if scoring.items is None:
        raise BadInput(
            "function_vector needs tasks: --items FILE of jsonl lines with task, input and output"
        )
    path = scoring.items
    settings = settings_of(scoring)

    def make() -> list[TaskPrompts]:
        tasks = read_tasks(path)
        scoring.corpus_hashes["items"] = tasks_hash(tasks)
        return make_prompts(tasks, scoring.bridge, settings)

    return scoring.shared("function_vector prompts", make), settings


def settings_of(scoring: Scoring) -> Settings:
    """`Settings` with what the options of this call say of them."""
    own = {f.name: scoring.options[f.name] for f in fields(Settings) if f.name in scoring.options}
    return Settings(**{"seed": scoring.seed, **own})


def _cost(scoring: Scoring) -> str:
    return stated(DETECTOR.name, cost(scoring.geometry, prompts_of(scoring)[0]))


def _run(scoring: Scoring) -> HeadScores:
    prompts, settings = prompts_of(scoring)
    return conclude(DETECTOR, scoring, measure_effects(scoring.geometry, prompts), settings)


DETECTOR = Detector(
    name="function_vector",
    version=2,
    definition=(
        "rise of the answer's probability when the head's output at the last token of a few-shot "
        "prompt with shuffled labels is replaced by its mean over right prompts"
    ),
    source="arXiv 2310.15213, section 2.3: causal indirect effect, averaged over prompts and tasks",
    unit="probability",
    needs=frozenset({"intervene"}),
    inputs="items",
    low=-1.0,
    high=1.0,
    chance="0: nothing changes",
    null=(
        "means over the same prompts with their labels shuffled; p adj by the largest rise above "
        "its head's mean, not the largest z"
    ),
    run=_run,
    cost=_cost,
    only_named=True,
    options=tuple(f.name for f in fields(Settings)),
)
