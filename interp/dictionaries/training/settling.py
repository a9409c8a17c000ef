"""Whether a run is long enough for the threshold that a BatchTopK dictionary is saved with."""

import math
from collections.abc import Sequence

from interp.dictionaries.training.recipe import TrainingRecipe

_RATE = "topk_threshold_lr"
_LEFT = 0.05
"""Share of its way that a threshold may be short of before it is told of."""


def unsettled(recipes: Sequence[TrainingRecipe]) -> str | None:
    """What to say and do where thresholds end far below what selects; None where all settle.

    The threshold starts at 0 and moves by a share `topk_threshold_lr` of its distance a step, as
    sae-lens's, so that (1 - lr)^steps of the way is left at the end.
    """
    rates = [recipe.options[_RATE] for recipe in recipes if _RATE in recipe.options]
    if not rates:
        return None
    n_steps, rate = recipes[0].settings.n_steps, min(rates)
    left = (1 - rate) ** n_steps
    if left <= _LEFT:
        return None
    enough = math.ceil(math.log(_LEFT) / math.log1p(-rate))
    quicker = (math.floor(1000 * (1 - _LEFT ** (1 / n_steps))) + 1) / 1000
    return (
        f"note: the saved threshold starts at 0 and goes {1 - left:.0%} of its way in "
        f"{n_steps:,} steps at {_RATE}={rate:g}: the saved dictionary has more features on than "
        f"training shows; take {enough:,} steps, or --option {_RATE}={quicker:g}"
    )
