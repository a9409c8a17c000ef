"""Control task: a label without meaning that only learning by heart can give."""

import numpy as np
from jaxtyping import Float, Int


def control_labels(
    types: Int[np.ndarray, " rows"],
    frequencies: Float[np.ndarray, " classes"],
    *,
    seed: int,
) -> Int[np.ndarray, " rows"]:
    """A random class for every word type, the same wherever the type stands.

    Drawn from the label's own frequencies (Hewitt and Liang 2019, 1909.03368, section 2). A probe
    that is as accurate here as on the real label may have learnt the real one by heart, too:
    selectivity is the difference of the two accuracies. The draw depends on the seed and the types
    alone, not on which other rows there are.
    """
    edges = np.cumsum(frequencies / frequencies.sum())[:-1]
    return np.searchsorted(edges, _uniform(types, seed), side="right").astype(np.int64)


def _uniform(types: Int[np.ndarray, " rows"], seed: int) -> Float[np.ndarray, " rows"]:
    """A number in [0, 1) for each type: SplitMix64 of it (Steele, Lea and Flood 2014).

    A generator would have to draw for every type up to the highest, or depend on which there are.
    """
    start = int(np.random.default_rng([seed, 1]).integers(2**63))
    state = types.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
