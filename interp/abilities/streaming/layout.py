"""The head of a safetensors file that is still to be filled."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from interp.models.weight_files import BYTES_OF


class ArraySpec(NamedTuple):
    """An array as a safetensors header announces it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of its entries."""
        return math.prod(self.shape) * BYTES_OF[self.dtype]


class FileLayout(NamedTuple):
    """Where everything of one file goes."""

    head: bytes
    """The length word and the header: what the file starts with."""
    starts: dict[str, int]
    """First byte of every array, from the start of the file."""
    size: int


def file_layout(
    arrays: Iterable[ArraySpec],
    *,
    metadata: Mapping[str, str] | None = None,
    head_bytes: int = 0,
) -> FileLayout:
    """A file that holds the arrays one after the other, in the order given.

    The header is padded with spaces to `head_bytes` at least, and to a multiple of 8.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    starts, end = {}, 0
    for array in arrays:
        starts[array.name] = end
        end += array.n_bytes
        header[array.name] = {
            "dtype": array.dtype,
            "shape": list(array.shape),
            "data_offsets": [starts[array.name], end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    length = max(-(-len(text) // 8) * 8, head_bytes - 8)
    head = length.to_bytes(8, "little") + text.ljust(length)
    return FileLayout(head, {name: len(head) + at for name, at in starts.items()}, len(head) + end)
