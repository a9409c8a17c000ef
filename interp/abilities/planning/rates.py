"""Rates: how fast a machine reads, writes and computes, measured or supposed."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interp.results.errors import BadInput

PROBE = 256 << 20
"""Bytes that are written and read back to measure a disk."""
_SPREAD = 1.3
_PIECE = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The slowest and the fastest that is reckoned with."""

    read: tuple[float, float]
    """Bytes a second from the disk."""
    write: tuple[float, float]
    """Bytes a second to the disk, synced."""
    hash: tuple[float, float]
    """Bytes a second through SHA-256, over all side threads."""
    compute: tuple[float, float]
    """Entries a second through the arithmetic of a pass, over all threads."""
    train: tuple[float, float]
    """Floating point operations a second of a training."""
    source: Literal["supposed", "measured"]
    """Where disk, hash and compute are from; `train` is always supposed."""


SUPPOSED = Rates(
    read=(0.2e9, 3e9),
    write=(0.15e9, 2e9),
    hash=(0.5e9, 3e9),
    compute=(0.15e9, 1.5e9),
    train=(3e13, 3e14),
    source="supposed",
)
"""From a shared cloud disk to a local NVMe drive, two cores to eight; training on one to a few
accelerators. One thread was measured at 0.75e9 entries of bfloat16 a second, computing alone."""


def measured_rates(directory: Path) -> Rates:
    """The rates of this machine, by a probe of 256 MB in `directory` that is deleted again.

    Each is reckoned with 1.3 times either way. Reading is measured past the page cache where the
    system lets it be emptied. BadInput if the place cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".interp-probe-") as file:
            write = _rate(PROBE, lambda: _write(file.fileno()))
            read = _rate(PROBE, lambda: _read(file.fileno()))
    except OSError as error:
        raise BadInput(f"{directory} cannot be probed ({error.strerror}): give another") from error
    block = bytes(PROBE // 4)
    hashing = _rate(len(block), lambda: hashlib.sha256(block).digest()) * min(
        4, os.cpu_count() or 1
    )
    return Rates(
        read=_around(read),
        write=_around(write),
        hash=_around(hashing),
        compute=_around(_edit_rate()),
        train=SUPPOSED.train,
        source="measured",
    )


def _rate(amount: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return amount / max(time.perf_counter() - start, 1e-9)


def _around(rate: float) -> tuple[float, float]:
    return rate / _SPREAD, rate * _SPREAD


def _write(descriptor: int) -> None:
    piece = os.urandom(_PIECE)
    for start in range(0, PROBE, _PIECE):
        os.pwrite(descriptor, piece, start)
    os.fsync(descriptor)


def _read(descriptor: int) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    buffer = bytearray(_PIECE)
    for start in range(0, PROBE, _PIECE):
        os.preadv(descriptor, [buffer], start)


def _edit_rate() -> float:
    """Entries a second of base + difference in bfloat16, on as many threads as a pass has."""
    import numpy as np

    from interp.abilities.streaming.chunks import CHUNK, THREADS, Chunk, chunk_grid, in_order
    from interp.abilities.streaming.numbers import to_numbers, to_words

    words = np.arange(CHUNK, dtype=np.uint16) % 0x3F80
    total = 64 * CHUNK

    def work() -> None:
        def edit(_chunk: Chunk) -> None:
            base, other = to_numbers(words, "BF16"), to_numbers(words, "BF16")
            to_words(base + (other - base) * 0.5, "BF16")

        for _ in in_order(edit, chunk_grid([("probe", total)]), threads=THREADS):
            pass

    return _rate(total, work)
