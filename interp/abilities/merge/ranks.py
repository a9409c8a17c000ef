"""The k-th largest size among any number of entries, exactly, in memory that does not grow.

For x >= 0 the bits of a float, read as a whole number, are in the order of the numbers. They are
ranked 16 at a time from the top: one histogram of 65,536 bins each. A 16-bit format needs one pass
over the entries, float32 two, float64 four.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.bits import size_bits
from interp.abilities.merge.method import Piece, Whole, check_finite

Differences = Callable[[Piece], Sequence[Float[Tensor, " entries"]]]
"""Of every model, what is ranked: in the format of the piece."""

_BINS = 1 << 16


class Rank(NamedTuple):
    """One size among those of a model."""

    bits: int
    """Of the number without its sign, as a whole number."""
    n_above: int
    n_equal: int


def ranked(whole: Whole, differences: Differences, places: Sequence[int]) -> list[Rank]:
    """Of every model the `places`-th largest size, counted from 1, over all pieces.

    Raises CorruptFile on an entry that is NaN or infinite, naming it.
    """
    found = [Rank(0, 0, 0) for _ in places]
    digit, digits = 0, 1
    while digit < digits:
        histograms = np.zeros((len(places), _BINS), dtype=np.int64)
        above = [rank.bits for rank in found]
        for counts, width in whole.each(lambda piece: _counted(piece, differences, above, digit)):  # noqa: B023
            histograms += counts
            digits = width // 2
        found = [
            _narrowed(rank, histogram, place)
            for rank, histogram, place in zip(found, histograms, places, strict=True)
        ]
        digit += 1
    return found


def _counted(
    piece: Piece, differences: Differences, above: Sequence[int], digit: int
) -> tuple[np.ndarray, int]:
    """Of every model how many sizes have each 16 bits, after those already found."""
    counts = []
    for difference, found in zip(differences(piece), above, strict=True):
        bits = size_bits(difference)
        shift = 8 * bits.itemsize - 16 * (digit + 1)
        if digit:
            bits = (bits[(bits >> (shift + 16)) == found] >> shift) & (_BINS - 1)
        elif shift:
            bits = bits >> shift
        counts.append(torch.bincount(bits, minlength=_BINS).numpy())
        if not digit:
            _refuse_infinity(piece, difference, counts[-1])
    return np.stack(counts), piece.base.itemsize


def _refuse_infinity(piece: Piece, difference: Tensor, counts: np.ndarray) -> None:
    infinity = torch.tensor([torch.inf], dtype=difference.dtype)
    first = int(size_bits(infinity)) >> (8 * infinity.itemsize - 16)
    if counts[first:].any():
        check_finite(piece)


def _narrowed(rank: Rank, histogram: np.ndarray, place: int) -> Rank:
    at_least = rank.n_above + histogram[::-1].cumsum()[::-1]
    digit = int(np.flatnonzero(at_least >= place)[-1])
    n_equal = int(histogram[digit])
    return Rank(rank.bits << 16 | digit, int(at_least[digit]) - n_equal, n_equal)
