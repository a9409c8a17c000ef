"""Which entries of one tensor a mask or an ability holds, packed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from interp.results.errors import CorruptFile

Encoding = Literal["bitmap", "index", "all"]
INDEX_BELOW = 1 / 32
"""Share under which 4 bytes an entry are fewer than 1 bit for every entry."""
_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)
_WINDOW = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Support:
    """A set of entries of one tensor, in flat (row-major) order."""

    shape: tuple[int, ...]
    encoding: Encoding
    """bitmap: a bit an entry, least significant first. index: sorted positions. all: no data."""
    data: np.ndarray
    """uint8 bits, uint32 or uint64 positions, or nothing; may be a file mapped into memory."""
    count: int

    @classmethod
    def from_dense(cls, mask: Bool[np.ndarray, "..."]) -> "Support":
        """The entries where `mask` is true, in the smaller of the two encodings."""
        return cls.from_bitmap(np.packbits(mask.reshape(-1), bitorder="little"), mask.shape)

    @classmethod
    def from_bitmap(cls, bits: UInt8[np.ndarray, " bytes"], shape: tuple[int, ...]) -> "Support":
        """The entries of a bitmap, in the smaller of the two encodings."""
        n, count = math.prod(shape), _ones_in(bits)
        bitmap = cls(shape=tuple(shape), encoding="bitmap", data=bits, count=count)
        if count >= n * INDEX_BELOW:
            return bitmap
        index = np.empty(count, dtype=np.uint32 if n < 1 << 32 else np.uint64)
        filled = 0
        for start in range(0, n, _WINDOW):
            found = bitmap.positions(start, min(start + _WINDOW, n)) + start
            index[filled : filled + found.size] = found
            filled += found.size
        return cls(shape=tuple(shape), encoding="index", data=index, count=count)

    @classmethod
    def everything(cls, shape: tuple[int, ...]) -> "Support":
        """All entries of a tensor."""
        nothing = np.empty(0, dtype=np.uint8)
        return cls(shape=tuple(shape), encoding="all", data=nothing, count=math.prod(shape))

    @property
    def n_entries(self) -> int:
        """Entries of the tensor, in the set or not."""
        return math.prod(self.shape)

    def dense(self) -> Bool[np.ndarray, "..."]:
        """True where an entry is in the set, in the tensor's shape."""
        flat = np.zeros(self.n_entries, dtype=bool)
        flat[self.positions(0, self.n_entries)] = True
        return flat.reshape(self.shape)

    def positions(self, start: int, stop: int) -> Int64[np.ndarray, " found"]:
        """Entries of the set in [start, stop), ascending, counted from `start`."""
        if self.encoding == "all":
            return np.arange(stop - start, dtype=np.int64)
        if self.encoding == "index":
            first, last = np.searchsorted(self.data, np.array([start, stop], self.data.dtype))
            return self.data[first:last].astype(np.int64) - start
        first_byte = start // 8
        bits = np.unpackbits(self.data[first_byte : -(-stop // 8)], bitorder="little")
        return np.flatnonzero(bits[start - 8 * first_byte : stop - 8 * first_byte].view(bool))

    def counts(self, chunk: int) -> Int64[np.ndarray, " chunks"]:
        """How many entries of the set lie in every chunk of `chunk` entries."""
        starts = range(0, self.n_entries, chunk)
        if self.encoding == "bitmap" and chunk % 8 == 0:
            step = chunk // 8
            found = [_ones_in(self.data[at // 8 : at // 8 + step]) for at in starts]
        else:
            found = [self._count(at, min(at + chunk, self.n_entries)) for at in starts]
        return np.array(found, dtype=np.int64)

    def window(self, start: int, stop: int) -> Bool[np.ndarray, " entries"]:
        """True where an entry of [start, stop) is in the set."""
        held = np.zeros(stop - start, dtype=bool)
        held[self.positions(start, stop)] = True
        return held

    def shared_with(self, other: "Support") -> int:
        """Entries in both sets, of one tensor."""
        return sum(
            int((self.window(*part) & other.window(*part)).sum())
            for part in windows(self.n_entries)
        )

    def _count(self, start: int, stop: int) -> int:
        if self.encoding == "all":
            return stop - start
        if self.encoding == "index":
            edges = np.array([start, stop], self.data.dtype)
            first, last = np.searchsorted(self.data, edges)
            return int(last - first)
        return self.positions(start, stop).size


def windows(n_entries: int) -> Iterator[tuple[int, int]]:
    """Start and stop of pieces of a tensor that are small enough to hold."""
    for start in range(0, n_entries, _WINDOW):
        yield start, min(start + _WINDOW, n_entries)


class BitmapWriter:
    """A bitmap filled from the front, piece by piece."""

    def __init__(self, n_entries: int) -> None:
        self.bits = np.zeros(-(-n_entries // 8), dtype=np.uint8)
        self._filled = 0
        self._rest = np.empty(0, dtype=bool)

    def append(self, chosen: Bool[np.ndarray, " entries"]) -> None:
        """The next entries; more than announced is a ValueError."""
        joined = np.concatenate([self._rest, chosen])
        packed = np.packbits(joined, bitorder="little")
        self.bits[self._filled : self._filled + packed.size] = packed
        whole = joined.size // 8
        self._filled += whole
        self._rest = joined[8 * whole :]


def checked_support(
    *, name: str, shape: tuple[int, ...], encoding: Encoding, data: np.ndarray, count: int
) -> Support:
    """A support read from a file, after its data were found to be what they claim (CorruptFile)."""
    support = Support(shape=shape, encoding=encoding, data=data, count=count)
    n = support.n_entries
    problem = None
    if encoding == "bitmap":
        spare = n % 8 and data.size and int(data[-1]) >> (n % 8)
        if data.dtype != np.uint8 or data.size != -(-n // 8) or spare:
            problem = f"its bitmap does not fit {n} entries"
        elif _ones_in(data) != count:
            problem = f"its bitmap does not hold {count} entries"
    elif encoding == "index":
        if data.dtype not in (np.uint32, np.uint64) or data.size != count:
            problem = f"its index does not hold {count} positions"
        elif count and (int(data[-1]) >= n or not bool((data[1:] > data[:-1]).all())):
            problem = f"its index is not sorted within {n} entries"
    elif encoding != "all" or count != n:
        problem = f"encoding {encoding!r} with {count} of {n} entries is unknown"
    if problem:
        raise CorruptFile(f"tensor {name!r}: {problem}; make the file again")
    return support


def _ones_in(bits: np.ndarray) -> int:
    pieces = (bits[at : at + _WINDOW] for at in range(0, bits.size, _WINDOW))
    return sum(int(_ONES[piece].sum(dtype=np.int64)) for piece in pieces)
