"""Held-out accuracy: how often a threshold from half of the documents gives the others' labels.

Skill neurons (2211.07349). The mean of the accuracies with and without the label is taken, which is
the accuracy where both are equally many, and 1/2 for a unit that knows nothing wherever it is not.
"""

import numpy as np
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from interp.neurons.functions import Exchanged
from interp.neurons.measures.measured import Measured, measured
from interp.results.errors import BadInput


def accuracy(says: Float[Tensor, "rows units"], drawn: Int8[Tensor, "draws rows"]) -> Measured:
    """Mean of the two accuracies, of what units say of held-out rows (1 the label, 0 not)."""
    label = drawn.double()
    hits = (label @ says.double()).numpy()
    n, n_positive = label.shape[1], label.sum(dim=1).numpy()[:, None]
    said = says.double().sum(dim=0).numpy()
    right = hits / n_positive + 1 - (said - hits) / (n - n_positive)
    return measured(right / 2, np.ones(says.shape[1], np.int8), says.float(), drawn)


def halves(
    labels: Int8[np.ndarray, " rows"],
    documents: Int64[np.ndarray, " rows"],
    exchanged: Exchanged,
    rng: np.random.Generator,
    *,
    name: str,
) -> tuple[Int64[np.ndarray, " training"], Int64[np.ndarray, " held_out"]]:
    """The rows of one half of the documents, and of the other half.

    Where documents have one label throughout, each half has half of those of either label. Raises
    BadInput, naming the function, where a half would lack a class.
    """
    known, first, of_row = np.unique(documents, return_index=True, return_inverse=True)
    kind = np.zeros(len(known)) if exchanged == "rotations" else labels[first]
    trains = np.zeros(len(known), bool)
    for one in np.unique(kind):
        members = rng.permutation(np.flatnonzero(kind == one))
        trains[members[: len(members) // 2]] = True
    parts = np.flatnonzero(trains[of_row]), np.flatnonzero(~trains[of_row])
    if any(len(np.unique(labels[part])) < 2 for part in parts):
        raise BadInput(
            f"{name!r}: a half of its {len(known)} documents has one class only, and a threshold "
            "needs both classes where it is set and where it is judged: label more documents"
        )
    return parts
