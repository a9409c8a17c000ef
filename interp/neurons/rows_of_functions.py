"""Which rows each function is about, and its labels in the form that counting wants."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor

from interp.results.errors import BadInput

_LANES = 4
_LANE_ROWS = 1 << 16


class RowSet(NamedTuple):
    """Functions over the same rows, their labels packed side by side into 64-bit words."""

    functions: Int[np.ndarray, " members"]
    part: Bool[np.ndarray, " rows"]
    words: list[Int[np.ndarray, " rows"]]
    lanes: int
    """Functions a word: a lane is wide enough to count all rows."""
    n_positive: Float[np.ndarray, " members"]


def checked_labels(
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
) -> Int8[np.ndarray, "functions rows"]:
    """The labels as int8. Raises BadInput for a function whose rows are all of one class."""
    label = labels.to(torch.int8).cpu().numpy()
    for index, row in enumerate(label):
        n_positive, n_negative = int((row == 1).sum()), int((row == 0).sum())
        if not n_positive or not n_negative:
            raise BadInput(
                f"function {index} has {n_positive} rows with its label and {n_negative} without: "
                "a score needs both, so leave the function out or label more rows"
            )
    return label


def row_sets(label: Int8[np.ndarray, "functions rows"]) -> list[RowSet]:
    """The functions, those with the same rows together; a label below 0 is no part."""
    members: dict[bytes, list[int]] = {}
    for index, row in enumerate(label >= 0):
        members.setdefault(row.tobytes(), []).append(index)
    found = []
    for functions in map(np.array, members.values()):
        part = label[functions[0]] >= 0
        lanes = _LANES if part.sum() < _LANE_ROWS else 1
        positive = (label[functions] == 1).astype(np.int64)
        shift = np.arange(lanes, dtype=np.int64)[:, None] * (64 // lanes)
        words = [
            np.left_shift(some, shift[: len(some)]).sum(axis=0)
            for some in np.array_split(positive, range(lanes, len(positive), lanes))
        ]
        found.append(RowSet(functions, part, words, lanes, positive.sum(axis=1).astype(float)))
    return found
