"""Which entries of one tensor a mask or an ability holds, packed."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from interp.results.errors import CorruptFile

Encoding = Literal["bitmap", "index", "all"]
INDEX_BELOW = 1 / 32
"""Share under which 4 bytes an entry are fewer than 1 bit for every entry."""
_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.int64)


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
        n, count = math.prod(shape), int(_ONES[bits].sum()) if bits.size else 0
        bitmap = cls(shape=tuple(shape), encoding="bitmap", data=bits, count=count)
        if count >= n * INDEX_BELOW:
            return bitmap
        index = bitmap.positions(0, n).astype(np.uint32 if n < 1 << 32 else np.uint64)
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

    def rank(self, position: int) -> int:
        """How many entries of the set lie before `position`."""
        if self.encoding == "all":
            return position
        if self.encoding == "index":
            return int(np.searchsorted(self.data, self.data.dtype.type(position)))
        whole, rest = divmod(position, 8)
        before = int(_ones_in(self.data[:whole]))
        return before + (int(_ONES[self.data[whole] & ((1 << rest) - 1)]) if rest else 0)


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
    step = 1 << 22
    return sum(int(_ONES[bits[at : at + step]].sum()) for at in range(0, bits.size, step))
