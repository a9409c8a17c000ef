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
    known, place = np.unique(types, return_inverse=True)
    highest = int(known.max(initial=-1)) + 1
    drawn = np.random.default_rng([seed, 1]).random(highest)[known]
    edges = np.cumsum(frequencies / frequencies.sum())[:-1]
    return np.searchsorted(edges, drawn, side="right")[place].astype(np.int64)
