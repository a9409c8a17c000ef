"""What each stage minimizes, as a value: which answers it reads and its loss on them."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.abilities.allo.batches import StageBatch
from interp.abilities.allo.losses import dpo_loss, forget_loss, learn_loss
from interp.abilities.allo.pairs import Side
from interp.abilities.allo.stages import StageRecipe
from interp.results.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A loss on preference pairs."""

    name: str
    question: str
    """What a small loss means, in words."""
    sides: tuple[Side, ...]
    """The answers whose log-probabilities it needs."""
    loss: Callable[[StageBatch, StageRecipe], Float[Tensor, ""]]
    """Over the sizes of the whole update: the losses of its pieces add up to the update's."""


def _dpo(batch: StageBatch, recipe: StageRecipe) -> Float[Tensor, ""]:
    chosen, rejected = batch.sides["chosen"].ratio, batch.sides["rejected"].ratio
    return dpo_loss(chosen, rejected, beta=recipe.beta, n=batch.n_pairs)


def _forget(batch: StageBatch, recipe: StageRecipe) -> Float[Tensor, ""]:
    rejected = batch.sides["rejected"]
    n = batch.n_weighted["rejected"]
    return forget_loss(rejected.ratio, rejected.weights, beta=recipe.beta, n=n)


def _learn(batch: StageBatch, recipe: StageRecipe) -> Float[Tensor, ""]:
    rejected = batch.sides["rejected"]
    return learn_loss(
        batch.sides["chosen"].ratio,
        rejected.ratio,
        rejected.answer,
        beta=recipe.beta,
        epsilon=recipe.epsilon,
        select=recipe.select,
        padded=batch.padded if recipe.count_from == "padded" else None,
        n=batch.n_pairs,
    )


DPO = Objective(
    name="dpo",
    question="the chosen answer gained on the rejected one (DPO, 2305.18290)",
    sides=("chosen", "rejected"),
    loss=_dpo,
)
FORGET = Objective(
    name="forget",
    question="the weighted tokens of rejected answers lost probability (ALLO, 2406.12606)",
    sides=("rejected",),
    loss=_forget,
)
LEARN = Objective(
    name="learn",
    question="as dpo, with the selected tokens of the rejected answer (ALLO, 2406.12606)",
    sides=("chosen", "rejected"),
    loss=_learn,
)
_BY_STAGE = {"warmup": DPO, "dpo": DPO, "forget": FORGET, "learn": LEARN}


def objective_of(stage: str) -> Objective:
    """The objective of a stage by its name. Raises BadInput for a name without one."""
    if stage not in _BY_STAGE:
        raise BadInput(f"no stage {stage!r}: there are {', '.join(_BY_STAGE)}")
    return _BY_STAGE[stage]
