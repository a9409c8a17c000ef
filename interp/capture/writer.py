"""A background thread that writes shards while the model computes the next batch."""

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import Queue

import numpy as np

from interp.capture.header import StoreHeader
from interp.capture.manifest import ShardEntry, append_entry, shard_name
from interp.capture.precision import (
    NOTHING_ROUNDED,
    Rounding,
    first_overflow,
    from_disk,
    rounding,
    to_disk,
)
from interp.capture.shard import ShardImage
from interp.results.atomic import fsync_directory
from interp.results.errors import BadInput, Incomplete
from interp.results.hashing import sha256_bytes

PARTIAL_SUFFIX = ".partial"
_PIECE = 8 << 20


class StoreWriter:
    """Commits shards in the background; at most `queue_depth` batches wait in memory.

    Its first failure is raised once, by the next call; every shard committed before stays.
    """

    def __init__(self, directory: Path, header: StoreHeader, *, queue_depth: int) -> None:
        self._directory = directory
        self._header = header
        self._jobs: Queue[Callable[[], None] | None] = Queue(maxsize=queue_depth)
        self._failure: BaseException | None = None
        self._open: _OpenShard | None = None
        self._committed_rows = 0
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def begin(self, index: int, *, max_rows: int) -> None:
        """Start shard `index`, which holds at most `max_rows` rows."""
        self._put(partial(self._begin, index, max_rows))

    def append(self, sites: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        """Add the rows of one batch; the arrays belong to the writer from now on."""
        self._put(partial(self._append, sites, columns))

    def commit(self, *, sequences: tuple[int, int], masked: int, padding: int) -> None:
        """Write the shard that was begun, sync it, name it, and enter it into the manifest."""
        self._put(partial(self._commit, sequences, masked, padding))

    def close(self) -> None:
        """Wait until everything handed over is on disk."""
        self._jobs.put(None)
        self._thread.join()
        self._raise_failure()

    def abandon(self) -> None:
        """Finish what was handed over, drop the shard in flight, and raise nothing."""
        self._jobs.put(None)
        self._thread.join()

    def _put(self, job: Callable[[], None]) -> None:
        self._raise_failure()
        self._jobs.put(job)

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            raise Incomplete(self._explain(self._failure)) from self._failure
        if self._failure is not None:
            raise self._failure

    def _explain(self, failure: OSError) -> str:
        return (
            f"cannot write {failure.filename or self._directory}: {failure.strerror or failure}. "
            f"This run committed {self._committed_rows:,} rows, which are safe; make room or "
            "repair the place, and run the same command again to go on"
        )

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            # After a failure the rest is dropped, so that nobody waits on a full queue.
            if self._failure is None:
                try:
                    job()
                except BaseException as failure:
                    self._failure = failure
            del job

    def _begin(self, index: int, max_rows: int) -> None:
        self._open = _OpenShard(self._header, index, max_rows)

    def _append(self, sites: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        assert self._open is not None
        self._open.append(sites, columns)

    def _commit(self, sequences: tuple[int, int], masked: int, padding: int) -> None:
        assert self._open is not None
        content = self._open.image.finish()
        entry = self._open.entry(content, sequences, masked, padding)
        self._open = None
        write_shard(self._directory, shard_name(entry.index), content)
        append_entry(self._directory, entry)
        self._committed_rows += entry.rows


class _OpenShard:
    """A shard in the making, and what its manifest line will say."""

    def __init__(self, header: StoreHeader, index: int, max_rows: int) -> None:
        self.image = ShardImage(header, index, max_rows)
        self._header = header
        self._index = index
        self._documents = (-1, -1)
        self._rounding: dict[str, Rounding] = {}

    def append(self, sites: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        stored = {f"sites/{name}": self._store(name, sites[name], columns) for name in sites}
        self.image.append({**stored, **{f"columns/{name}": columns[name] for name in columns}})
        documents = columns["document"]
        if len(documents):
            low, high = int(documents.min()), int(documents.max())
            first = self._documents == (-1, -1)
            self._documents = (
                low if first else min(low, self._documents[0]),
                high if first else max(high, self._documents[1]),
            )

    def entry(
        self, content: memoryview, sequences: tuple[int, int], masked: int, padding: int
    ) -> ShardEntry:
        return ShardEntry(
            index=self._index,
            sequences=sequences,
            rows=self.image.rows,
            tokens=self.image.rows + masked,
            masked=masked,
            padding=padding,
            documents=self._documents,
            rounding=self._rounding,
            bytes=len(content),
            sha256=sha256_bytes(content),
        )

    def _store(
        self, site: str, values: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        dtype = self._header.dtype
        stored = to_disk(values, dtype)
        if dtype == "float32":
            return stored
        back = from_disk(stored, dtype)
        overflow = first_overflow(values, back)
        if overflow is not None:
            row, value = overflow
            raise BadInput(
                f"{site} overflows {dtype} at row {self.image.rows + row} of "
                f"{shard_name(self._index)} (sequence {columns['sequence'][row]}, position "
                f"{columns['position'][row]}): {value:g}. Capture with another --dtype"
            )
        total = self._rounding.get(site, NOTHING_ROUNDED)
        self._rounding[site] = total.merge(rounding(values, back))
        return stored


def write_shard(directory: Path, name: str, content: memoryview) -> None:
    """Write the bytes under a temporary name, sync them, and rename: whole or not at all."""
    path = directory / name
    partial_path = directory / (name + PARTIAL_SUFFIX)
    try:
        with partial_path.open("wb", buffering=0) as file:
            for start in range(0, len(content), _PIECE):
                _write_all(file.fileno(), content[start : start + _PIECE])
            os.fsync(file.fileno())
        partial_path.replace(path)
        fsync_directory(directory)
    except OSError as error:
        partial_path.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise


def _write_all(descriptor: int, piece: memoryview) -> None:
    while len(piece):
        piece = piece[os.write(descriptor, piece) :]
