"""Overlap of two masks, against what masks of the same counts in every tensor share by chance."""

from math import sqrt
from typing import Any, NamedTuple

from interp.abilities.mask import NeuronMask
from interp.results.errors import Mismatch


class Overlap(NamedTuple):
    """How many entries two masks share."""

    shared: int
    expected: float
    """By chance, with each mask's count kept in every tensor."""
    standard_deviation: float
    """Of that chance: hypergeometric in every tensor, independent between tensors."""
    share_of_smaller: float
    """Shared entries over those of the smaller mask, NaN for an empty one."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, None for NaN."""
        empty = self.share_of_smaller != self.share_of_smaller
        return self._asdict() | ({"share_of_smaller": None} if empty else {})


def overlap(first: NeuronMask, second: NeuronMask) -> Overlap:
    """Shared entries of two masks of one model. In a tensor of N with a and b chosen, chance gives

    ab/N on average, with variance ab/N (1 − a/N)(N − b)/(N − 1). Tensors that only one mask ranks
    share nothing. Raises Mismatch for masks of different models.
    """
    if first.base.root != second.base.root:
        raise Mismatch("the two masks belong to different models: their entries do not compare")
    shared, expected, variance = 0, 0.0, 0.0
    for name in first.tensors.keys() & second.tensors.keys():
        a, b = first.tensors[name].count, second.tensors[name].count
        n = first.tensors[name].n_entries
        if not a or not b:
            continue
        shared += int((first.dense(name) & second.dense(name)).sum())
        expected += a * b / n
        variance += a * b / n * (1 - a / n) * (n - b) / max(n - 1, 1)
    smaller = min(first.count, second.count)
    return Overlap(
        shared=shared,
        expected=expected,
        standard_deviation=sqrt(variance),
        share_of_smaller=shared / smaller if smaller else float("nan"),
    )
