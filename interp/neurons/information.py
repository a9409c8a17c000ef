"""How many bits a unit's activation says about a label, in bins of its rank.

No direction or threshold is asked for: a unit that fires in the middle of its range on the label
has information too.
"""

import numpy as np
from jaxtyping import Float64, Int

from interp.neurons.ranking import Ranking

N_BINS = 8


def bins_of(ranking: Ranking, n_bins: int) -> Int[np.ndarray, "units rows"]:
    """The bin of every row by the middle rank of its group.

    Bins hold about as many rows each; rows with equal values share one (a ReLU's zeros are one).
    """
    middle = ranking.depth - ranking.size / 2
    of_group = (middle * n_bins / ranking.n_rows).astype(np.int64)
    found = np.empty_like(ranking.order)
    in_order = np.repeat(of_group, ranking.size.astype(np.int64)).reshape(found.shape)
    np.put_along_axis(found, ranking.order, in_order, axis=1)
    return found


def bits_of(
    bins: Int[np.ndarray, "units rows"], n_bins: int, drawn: Float64[np.ndarray, "all rows"]
) -> Float64[np.ndarray, "all units"]:
    """Σ p(bin, label) log2 p(bin, label)/(p(bin) p(label)) of every unit, corrected for its bias.

    The correction takes (cells - bins - labels + 1)/(2 n ln 2) bits off, counting what is occupied
    (Miller 1955). Labels are 0 or 1, one line of them for every draw.
    """
    n, n_positive = drawn.shape[1], drawn.sum(axis=1)[:, None]
    in_bin = np.stack([bins == index for index in range(n_bins)]).astype(np.float64)
    positive = np.einsum("kur,ar->kau", in_bin, drawn, optimize=True)
    total = in_bin.sum(axis=2)[:, None, :]
    bits, cells = np.zeros(positive.shape[1:]), np.zeros(positive.shape[1:])
    for count, of_label in ((positive, n_positive), (total - positive, n - n_positive)):
        with np.errstate(divide="ignore", invalid="ignore"):
            each = count * np.log2(count * n / (total * of_label))
        bits += np.where(count > 0, each, 0.0).sum(axis=0) / n
        cells += (count > 0).sum(axis=0)
    excess = cells - (total > 0).sum(axis=0) - 2 + 1
    return bits - excess / (2 * n * np.log(2))
