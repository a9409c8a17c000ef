"""The k largest of any number of scores, exactly, in memory that does not grow with them.

For x >= 0 the bits of a float32, read as an integer, are in the order of the numbers. A histogram
of their upper halves finds the bin of the k-th largest, one of the lower halves inside it the
threshold itself; a last pass marks the chosen. Ties at the threshold are taken in the order of
(tensor name, flat position), so the count is exact and the sharding does not matter.

    chosen = top_entries({"w": 6}, scores_of_arrays({"w": scores}), k=2)
    chosen.supports["w"].dense()
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from interp.abilities.masks.support import BitmapWriter, Support
from interp.abilities.streaming.chunks import CHUNK
from interp.results.errors import BadInput

Scores = Callable[[str], Iterable[Float[np.ndarray, " entries"]]]
"""The scores of one tensor by name, in pieces and in flat order; asked for several times."""

_BINS = 1 << 16
_SIGN = np.uint32(0x7FFFFFFF)
_INFINITY = 0x7F800000


class TopEntries(NamedTuple):
    """What the k largest scores are, and how they were told from the rest."""

    supports: dict[str, Support]
    """The chosen entries of every tensor, by name."""
    threshold: float
    """The lowest chosen score; NaN if none was asked for."""
    n_above: int
    """Chosen entries above the threshold."""
    n_tied: int
    """Entries that equal the threshold, chosen or not."""
    histogram: Int64[np.ndarray, " 65536"]
    """All scores, counted by the upper 16 bits of their float32."""


def top_entries(shapes: Mapping[str, tuple[int, ...]], scores: Scores, *, k: int) -> TopEntries:
    """The k entries with the largest score over all tensors together.

    Scores are taken by size (a sign is dropped) in float32. Raises BadInput on a NaN or infinite
    score, naming the tensor, and unless 0 <= k <= the number of entries.
    """
    names = sorted(shapes)
    n = sum(math.prod(shapes[name]) for name in names)
    if not 0 <= k <= n:
        raise BadInput(f"cannot choose {k} of {n} entries: give a share between 0 and 1")
    histogram = _upper_histogram(names, scores)
    if int(histogram.sum()) != n:
        raise BadInput(f"{int(histogram.sum())} scores came for {n} entries: every entry needs one")
    upper, above_bin = _bin_of(histogram, k)
    lower, above = _bin_of(_lower_histogram(names, scores, upper), k - above_bin)
    threshold = np.uint32(upper << 16 | lower) if k else np.uint32(0xFFFFFFFF)
    n_above = above_bin + above
    marked = _mark(shapes, scores, threshold=threshold, ties=k - n_above if k else 0)
    return TopEntries(
        supports=marked.supports,
        threshold=float(threshold.view(np.float32)) if k else float("nan"),
        n_above=n_above if k else 0,
        n_tied=marked.n_tied,
        histogram=histogram,
    )


def count_of_share(n_entries: int, share: float) -> int:
    """How many entries a share is: share * n rounded down, and no rounding error of 1e-9 below."""
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"a share of {share} entries: expected a number from 0 to 1")
    return int(np.floor(share * n_entries * (1 + 1e-12) + 1e-9)) if share < 1.0 else n_entries


def scores_of_arrays(
    arrays: Mapping[str, Float[np.ndarray, "..."]], *, chunk: int = CHUNK
) -> Scores:
    """Scores that lie in memory, one array a tensor."""

    def pieces(name: str) -> Iterator[Float[np.ndarray, " entries"]]:
        flat = arrays[name].reshape(-1)
        for start in range(0, flat.size, chunk):
            yield flat[start : start + chunk]

    return pieces


class _Marked(NamedTuple):
    supports: dict[str, Support]
    n_tied: int


def _bits(name: str, scores: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(scores, dtype=np.float32).view(np.uint32) & _SIGN
    if bits.size and int(bits.max()) >= _INFINITY:
        raise BadInput(f"a score in tensor {name!r} is NaN or infinite: it cannot be ranked")
    return bits


def _upper_histogram(names: list[str], scores: Scores) -> np.ndarray:
    histogram = np.zeros(_BINS, dtype=np.int64)
    for name in names:
        for piece in scores(name):
            histogram += np.bincount(_bits(name, piece) >> 16, minlength=_BINS)
    return histogram


def _lower_histogram(names: list[str], scores: Scores, upper: int) -> np.ndarray:
    histogram = np.zeros(_BINS, dtype=np.int64)
    for name in names:
        for piece in scores(name):
            bits = _bits(name, piece)
            inside = bits[(bits >> 16) == upper] & np.uint32(0xFFFF)
            histogram += np.bincount(inside, minlength=_BINS)
    return histogram


def _bin_of(histogram: np.ndarray, k: int) -> tuple[int, int]:
    """The bin that holds the k-th largest, and how many lie in bins above it."""
    at_least = histogram[::-1].cumsum()[::-1]
    bin_ = int(np.flatnonzero(at_least >= max(k, 1))[-1]) if at_least[0] >= max(k, 1) else 0
    return bin_, int(at_least[bin_] - histogram[bin_])


def _mark(
    shapes: Mapping[str, tuple[int, ...]], scores: Scores, *, threshold: np.uint32, ties: int
) -> _Marked:
    supports, n_tied = {}, 0
    for name in sorted(shapes):
        bitmap = BitmapWriter(math.prod(shapes[name]))
        for piece in scores(name):
            bits = _bits(name, piece)
            chosen = bits > threshold
            found = np.flatnonzero(bits == threshold)
            chosen[found[: max(ties - n_tied, 0)]] = True
            n_tied += found.size
            bitmap.append(chosen)
        supports[name] = Support.from_bitmap(bitmap.bits, tuple(shapes[name]))
    return _Marked(supports, n_tied)
