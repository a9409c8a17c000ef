"""The dense-or-sparse monitor of switchable training (SSD, 2410.03440), as advice at each step.

SSD trains densely while the activation pattern moves, trains selected experts once it is stable,
and goes back to dense training. Its measure of stability and its thresholds are not published; the
ones here are our guesses, untested. Where starts at one checkpoint disagree, a partition that
changes between checkpoints says nothing, and the advice is that nothing can be told.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64

Advice = Literal["dense", "sparse", "cannot tell"]
STABLE = 0.9
"""Agreement of consecutive partitions, as a share of that of starts, from which it is stable."""
SPARSE_BELOW = 0.3
"""Share of active neurons below which experts can be selected."""
LEAST_CEILING = 0.5
"""Agreement of starts below which the ratio to it means nothing."""
_DENSE_END = 0.9


def agreement_ratio(
    ari: Float[np.ndarray, "layers pairs"], ceiling: Float[np.ndarray, "layers pairs"]
) -> Float64[np.ndarray, " pairs"]:
    """Mean over layers of ARI between checkpoints over ARI between starts; NaN without a ceiling.

    Layers whose starts agree no better than by chance have no ratio.
    """
    has = np.isfinite(ari) & (ceiling > 0)
    ratio = np.divide(ari, ceiling, out=np.zeros_like(ari, dtype=np.float64), where=has)
    n = has.sum(axis=0)
    return np.divide(ratio.sum(axis=0), n, out=np.full(ari.shape[1], np.nan), where=n > 0)


def advise(
    steps: Sequence[int],
    ratio: Float[np.ndarray, " pairs"],
    ceiling: Float[np.ndarray, " pairs"],
    active: Float[np.ndarray, " pairs"],
) -> tuple[Advice, ...]:
    """What to do from each step but the first, `steps` being one more than the pairs.

    Sparse once the ratio is at least 0.9 twice in a row with less than 0.3 of neurons active; dense
    again after as long as the last dense phase took; dense in the last tenth; "cannot tell" where
    the mean agreement of starts (`ceiling`) is below 0.5.
    """
    advice: list[Advice] = []
    phase: Advice = "dense"
    since, length, stable = steps[0], 0, 0
    for pair, step in enumerate(steps[1:]):
        if not ceiling[pair] >= LEAST_CEILING:
            advice.append("cannot tell")
            stable = 0
            continue
        stable = stable + 1 if ratio[pair] >= STABLE else 0
        ending = step > _DENSE_END * steps[-1]
        if phase == "sparse" and (ending or step - since >= length):
            phase, since, stable = "dense", step, 0
        elif phase == "dense" and stable >= 2 and active[pair] < SPARSE_BELOW and not ending:
            phase, length, since = "sparse", step - since, step
        advice.append(phase)
    return tuple(advice)
