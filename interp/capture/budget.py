"""What a capture will take: bytes on disk, and bytes of memory against a budget."""

import ctypes
import json
import math
import re
import resource
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from interp.capture.header import StoreHeader
from interp.capture.shard import ShardImage, chunk_rows, dataset_layout, row_bytes
from interp.results.errors import BadInput, Incomplete

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_MANIFEST_LINE = 330
_ROUNDING = 165
_INDEX_NODE = 2560
_SLACK = 64 << 20
"""Scratch of the matrix library, the allocator's own holes, and Python."""


def parse_bytes(text: str) -> int:
    """Bytes of "4GiB", "500 MB" or "1e9"; BadInput on anything else."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", text.lower())
    units = {**_UNITS, **_BINARY_UNITS}
    if match is None or match[2] not in units or match[1].count(".") > 1 or match[1] == ".":
        raise BadInput(f"{text!r} is no size: write it like 4GiB, 500MB or a number of bytes")
    return int(float(match[1]) * units[match[2]])


def show_bytes(n: int) -> str:
    """`n` for a person, in binary units."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} bytes"


def store_bytes(
    header: StoreHeader, *, rows: int, tokens: float, tokens_per_sequence: float, vocabulary: int
) -> int:
    """Expected bytes on disk of `rows` rows left of `tokens` tokens, HDF5's structures included."""
    per_shard = header.sequences_per_shard * tokens_per_sequence
    most = header.sequences_per_shard * header.length
    structure = _structure_bytes(header)
    total = vocabulary + len(json.dumps(header.to_json(), indent=2))
    for shard in range(math.ceil(tokens / per_shard)):
        answered = min(per_shard, tokens - shard * per_shard)
        left = header.asked - round(shard * per_shard)
        kept = round(answered * rows / tokens)
        total += structure + _chunk_bytes(header, kept, min(most, left))
    return total


def _structure_bytes(header: StoreHeader) -> int:
    """What a shard takes beside its rows, manifest line included."""
    layout = dataset_layout(header)
    tiny = ShardImage(header, 0, 1)
    tiny.append({name: np.zeros((1, *shape), dtype) for name, (shape, dtype) in layout.items()})
    line = _MANIFEST_LINE + _ROUNDING * len(header.sites) * (header.dtype != "float32")
    return len(tiny.finish()) - header.row_bytes + line


def _chunk_bytes(header: StoreHeader, rows: int, max_rows: int) -> int:
    total = 0
    for shape, dtype in dataset_layout(header).values():
        width = row_bytes(shape, dtype)
        chunk = chunk_rows(width, max_rows)
        n_chunks = -(-rows // chunk)
        # HDF5 indexes a dataset's chunks in nodes of 64.
        total += n_chunks * chunk * width + n_chunks // 64 * _INDEX_NODE * (len(shape) + 1)
    return total


def resident_bytes() -> int:
    """Anonymous resident memory of this process; where /proc is missing, its peak so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def release_free_memory() -> None:
    """Hand memory that the C allocator keeps for later back to the system, where glibc is.

    Large tensors of different sizes, made and freed in turn, leave holes that the next batch cannot
    use: without this a capture grows to several times what it ever holds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class PeakTensorBytes(TorchDispatchMode):
    """The most bytes that tensors made inside the block held at once.

    with PeakTensorBytes() as tensors: model(tokens)
    tensors.peak
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count the storages it made."""
        out = func(*args, **(kwargs or {}))
        given = {_address(leaf) for leaf in tree_leaves((args, kwargs))}
        for leaf in tree_leaves(out):
            # A view of what went in, a weight say, takes no memory.
            if isinstance(leaf, Tensor) and _address(leaf) not in given:
                self._count(leaf)
        return out

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if not address or address in self._seen:
            return
        size = storage.nbytes()
        self._seen.add(address)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self._now -= size


def _address(leaf: object) -> int:
    return leaf.untyped_storage().data_ptr() if isinstance(leaf, Tensor) else 0


@dataclass(frozen=True)
class MemoryPlan:
    """What a capture holds in memory beyond what the process already has."""

    forward_per_sequence: int
    """Peak of the forward pass, from a measured pass of one sequence."""
    captured_per_sequence: int
    """Float32 rows of all sites."""
    shard: int
    """The shard in the making; while it grows, an old and a new copy may live side by side."""

    def needed(self, sequences: int, queue_depth: int) -> int:
        """Peak bytes above the loaded model, with `sequences` in one forward pass."""
        # One lot of rows being read, one being written, `queue_depth` waiting.
        captured = self.captured_per_sequence * sequences * (queue_depth + 2)
        # The holes between live tensors take about as much again.
        return 2 * self.forward_per_sequence * sequences + captured + 2 * self.shard + _SLACK

    def queue_depth(self, sequences: int, memory: int | None, resident: int) -> int:
        """How many forwards' rows may wait (two without `memory`); BadInput if not even one's."""
        if memory is None:
            return 2
        for depth in (4, 3, 2, 1):
            if resident + self.needed(sequences, depth) <= memory:
                return depth
        fits = [n for n in range(1, sequences) if resident + self.needed(n, 1) <= memory]
        advice = f"--batch-size {fits[-1]} fits" if fits else "not even a batch of one fits"
        raise BadInput(
            f"a memory budget of {show_bytes(memory)} is too small: the process holds "
            f"{show_bytes(resident)} already and forward passes of {sequences} sequences "
            f"need {show_bytes(self.needed(sequences, 1))} more; {advice}"
        )


def keep_budget(memory: int | None) -> None:
    """Raise Incomplete if the process holds more than `memory` now; what is committed stays."""
    if memory is not None and (held := resident_bytes()) > memory:
        raise Incomplete(
            f"the process holds {show_bytes(held)}, over the budget of {show_bytes(memory)}: "
            "stopped; committed shards are safe, run again with more --memory"
        )
