"""A directory of large files that is written in pieces, survives a kill, and appears whole.

The files grow in `OUT.tmp-JOB`, beside the place they will have. A journal names what is safely on
disk; the same job started again checks those pieces against their checksums and writes the rest.
Only when everything is there does the directory get its name.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, NamedTuple

import xxhash

from interp.results.atomic import (
    check_out,
    fsync_directory,
    fsync_file,
    remove_temporaries,
    swap_in,
)
from interp.results.errors import BadInput, Incomplete
from interp.results.escape import visible

JOURNAL = "journal.jsonl"
SYNC_EVERY = 256 << 20
"""Bytes between two journal entries: what a kill can cost."""
_SPARE = 64 << 20
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Piece(NamedTuple):
    """A run of bytes in one of the files."""

    file: str
    offset: int
    n_bytes: int


class StagedDirectory:
    """`out` while it is being written; use as a context manager and `publish` at the end.

    Leaving the block without `publish` keeps what was written, for the next run of the same job.
    Raises BadInput if `out` exists (unless `replace`), if the disk is too small (with the bytes
    needed) or if another run writes the same job; Incomplete when the disk fills up later.
    """

    def __init__(
        self,
        out: Path,
        *,
        job: str,
        sizes: Mapping[str, int],
        replace: bool = False,
        sync_every: int = SYNC_EVERY,
    ) -> None:
        self.out = Path(out)
        self.job = job
        self.sizes = dict(sizes)
        self.replace = replace
        self.path = self.out.with_name(f"{self.out.name}.tmp-{job[:12]}")
        self._sync_every = sync_every
        self._lock = Lock()
        self._files: dict[str, int] = {}
        self._journal: IO[str] | None = None
        self._safe: dict[Piece, str] = {}
        self._pending: list[tuple[Piece, str]] = []
        self._pending_bytes = 0
        # Beside the writers: waiting for the disk in one of them would soon stop the others too.
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="sync")
        self._syncing: deque[Future[None]] = deque()

    def __enter__(self) -> "StagedDirectory":
        check_out(self.out, replace=self.replace)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._check_space()
        self.path.mkdir(exist_ok=True)
        self._mention_others()
        try:
            self._open_journal()
            remove_temporaries(self.path)
            for name, size in self.sizes.items():
                (self.path / name).parent.mkdir(exist_ok=True)
                self._files[name] = _open_sized(self.path / name, size)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                self._refuse_full_disk(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A small file written beside the large ones says Incomplete; here more is known about it.
        failed = error.__cause__ if isinstance(error, Incomplete) else error
        try:
            if self._journal is not None and not isinstance(failed, OSError):
                self.sync()
        finally:
            self._close()
        if isinstance(failed, OSError):
            self._refuse_full_disk(failed)

    def held(self, piece: Piece) -> bytes | None:
        """The piece's bytes if an earlier run of this job wrote them and they are still so."""
        digest = self._safe.get(piece)
        if digest is None:
            return None
        content = os.pread(self._files[piece.file], piece.n_bytes, piece.offset)
        return content if _checksum(content) == digest else None

    def write(self, file: str, offset: int, content: memoryview) -> None:
        """Write bytes in place. Threads may write at the same time, each its own pieces."""
        if not len(content):
            return
        self.write_unlisted(file, offset, content)
        piece = Piece(file, offset, len(content))
        digest = _checksum(content)
        with self._lock:
            self._pending.append((piece, digest))
            self._pending_bytes += len(content)
            if self._pending_bytes >= self._sync_every:
                self._pending_bytes = 0
                self._syncing.append(self._syncer.submit(self._sync_pending))
            while self._syncing and self._syncing[0].done():
                self._syncing.popleft().result()

    def write_unlisted(self, file: str, offset: int, content: memoryview) -> None:
        """Write bytes that a resumed run works out and writes again: no journal entry."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._files[file], content[done:], offset + done)

    def sync(self) -> None:
        """Make what was written so far safe from a kill and a power cut."""
        self._wait()
        self._sync_pending()

    def _wait(self) -> None:
        """Until the syncs that were begun have ended; raises what one of them raised."""
        while self._syncing:
            self._syncing.popleft().result()

    def _sync_pending(self) -> None:
        with self._lock:
            pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending or self._journal is None:
            return
        for file in {piece.file for piece, _ in pending}:
            os.fsync(self._files[file])
        lines = [json.dumps([*piece, digest]) for piece, digest in pending]
        with self._lock:
            self._journal.write("\n".join(lines) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())

    def resize(self, file: str, size: int) -> None:
        """Give a file its final size, where that was not known at the start."""
        os.ftruncate(self._files[file], size)

    def drop(self, file: str) -> None:
        """Delete a file that turned out not to be wanted."""
        self._wait()
        os.close(self._files.pop(file))
        (self.path / file).unlink()

    def discard(self) -> None:
        """Delete what was written: the same job would only come to the same wrong end."""
        shutil.rmtree(self.path)

    def publish(self) -> Path:
        """Sync everything, drop the journal and give the directory its name."""
        self.sync()
        for path in self.path.rglob("*"):
            fsync_directory(path) if path.is_dir() else fsync_file(path)
        (self.path / JOURNAL).unlink()
        fsync_directory(self.path)
        self._close()
        swap_in(self.path, self.out)
        fsync_directory(self.out.parent)
        return self.out

    def _close(self) -> None:
        self._syncer.shutdown()
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _check_space(self) -> None:
        total = sum(self.sizes.values())
        there = sum(_allocated(self.path / name) for name in self.sizes)
        needed = max(total - there, 0) + total // 100 + _SPARE
        free = shutil.disk_usage(self.out.parent).free
        if free < needed:
            raise BadInput(
                f"writing {self.out} needs {needed:,} bytes and {self.out.parent} has {free:,}: "
                "free some, or choose another disk"
            )

    def _mention_others(self) -> None:
        """Name on standard error what runs with other settings left half done."""
        stem = f"{self.out.name}.tmp-"
        for other in sorted(self.out.absolute().parent.iterdir()):
            if other.name.startswith(stem) and other.name != self.path.name:
                sys.stderr.write(
                    f"{visible(str(other), limit=1000)} is half of another {self.out.name}, by "
                    "other settings: run those again to finish it, or delete it\n"
                )

    def _open_journal(self) -> None:
        path = self.path / JOURNAL
        self._safe = dict(_read_journal(path))
        # Not a context manager: the journal is open, and locked, as long as this object is.
        self._journal = path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"another run is writing {self.path}: wait for it to end") from error
        if self._journal.tell():
            # A line that a kill cut short must not swallow the next one.
            self._journal.write("\n")

    def _refuse_full_disk(self, error: OSError) -> None:
        if error.errno in _DISK_FULL:
            raise Incomplete(
                f"the disk is full ({error.strerror}): {self.out} was not made, what is written "
                f"waits in {self.path.name}; make room for {sum(self.sizes.values()):,} bytes in "
                "all and run the same command again, or delete it"
            ) from error


def _checksum(content: bytes | memoryview) -> str:
    """Against torn writes, not against malice: the identity of what is published is SHA-256."""
    return xxhash.xxh3_128_hexdigest(content)


def _read_journal(path: Path) -> Iterator[tuple[Piece, str]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            file, offset, n_bytes, digest = json.loads(line)
        except (ValueError, TypeError):
            # A line that a kill cut short: its piece is written again.
            continue
        yield Piece(file, offset, n_bytes), digest


def _open_sized(path: Path, size: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    if os.fstat(descriptor).st_size != size:
        os.ftruncate(descriptor, size)
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    return descriptor


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.is_file() else 0
