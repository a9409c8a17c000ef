"""Whether units detect functions better than chance: permuted labels through the same scores."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int8
from torch import Tensor

from interp.neurons.average_precision import average_precision
from interp.neurons.nulls import chance_of
from interp.neurons.pooled_null import PooledNull, false_discovery, max_t
from interp.neurons.relabelling import shuffled_labels

Shuffle = Callable[[Int8[np.ndarray, " rows"], int, np.random.Generator], Int8[np.ndarray, "d r"]]


class LabelNull(NamedTuple):
    """What permuted labels say of every unit and function.

    Scores are the better sign's average precision in standard deviations above its exact mean.
    """

    z: Float64[np.ndarray, "functions units"]
    null_best: Float64[np.ndarray, "functions draws"]
    """The best unit's z on each permutation."""
    p: Float64[np.ndarray, "functions units"]
    """Of each unit by itself, from the pooled null."""
    q: Float64[np.ndarray, "functions units"]
    """`p` with the false discovery rate controlled over units and functions."""
    p_max_t: Float64[np.ndarray, "functions units"]
    """Family-wise over the units of a function."""
    smallest_p: Float64[np.ndarray, "functions units"]
    """The smallest `p` that the pool could have given."""


def label_null(
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    draws: int = 200,
    seed: int = 0,
    shuffle: Shuffle = shuffled_labels,
) -> LabelNull:
    """Test every unit for every function; the draws depend on the seed and the function's place.

    Units with equal scores throughout have NaN.
    """
    label = labels.to(torch.int8)
    found, chance = average_precision(scores, label), chance_of(scores, label)
    z = chance.standardised(found.positive.numpy(), found.negative.numpy())
    pool = PooledNull(len(label))
    best = np.empty((len(label), draws))
    for function, row in enumerate(label.cpu().numpy()):
        drawn = shuffle(row, draws, np.random.default_rng([seed, function]))
        null = average_precision(scores, torch.from_numpy(drawn))
        of_one = chance._replace(**{k: v[function] for k, v in chance._asdict().items()})
        null_z = of_one.standardised(null.positive.numpy(), null.negative.numpy())
        pool.update(function, null_z, chance.harmonic[function])
        best[function] = np.max(null_z, axis=1, where=~np.isnan(null_z), initial=-np.inf)
    p, smallest = pool.finish(z, chance.harmonic)
    return LabelNull(z, best, p, false_discovery(p), max_t(z, best), smallest)
