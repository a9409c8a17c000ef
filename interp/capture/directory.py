"""The directory of a store that is being written: begun, gone on with, or refused."""

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interp.capture.header import HEADER, StoreHeader, read_store_header, refuse_difference
from interp.capture.manifest import (
    MANIFEST,
    Manifest,
    cut_unfinished_line,
    read_manifest,
    write_manifest,
)
from interp.capture.store import VOCABULARY, ActivationStore
from interp.results.atomic import atomic_file, fsync_directory
from interp.results.errors import BadInput, CorruptFile

LOCK = ".lock"
_OURS = re.compile(
    rf"({re.escape(HEADER)}|{re.escape(MANIFEST)}|{re.escape(VOCABULARY)}|{re.escape(LOCK)}"
    r"|shard-\d{5,}\.h5(\.partial)?"
    r"|\.(store\.json|manifest\.jsonl|vocabulary\.json)\.tmp-[0-9a-f]{8})"
)
_LEFT_BY_A_KILL = re.compile(r"(.*\.partial|\..*\.tmp-[0-9a-f]{8})")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the store against a second writer; the lock of a dead process is no lock."""
    with _explained(directory):
        _make(directory)
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                f"{directory} is being written by another process: wait for it, or choose another "
                "--out"
            ) from error
        yield
    finally:
        os.close(descriptor)


def prepare(
    directory: Path,
    header: StoreHeader,
    *,
    vocabulary: bytes | None,
    overwrite: bool,
    expected_bytes: int,
) -> Manifest:
    """Make the store ready for its first missing shard and return what it has; needs the lock.

    Raises Mismatch if another run made it, CorruptFile if a committed shard was altered, BadInput
    if the directory is not ours, cannot be written or lacks the room.
    """
    with _explained(directory):
        _refuse_foreign(directory)
        if overwrite:
            _clear(directory)
        for file in directory.iterdir():
            if _LEFT_BY_A_KILL.fullmatch(file.name):
                file.unlink()
        _refuse_orphans(directory)
        if not (directory / HEADER).is_file():
            _begin(directory, header, vocabulary)
        manifest = _go_on(directory, header)
        _refuse_small_disk(directory, manifest, expected_bytes)
        return manifest


def _begin(directory: Path, header: StoreHeader, vocabulary: bytes | None) -> None:
    if vocabulary is not None:
        with atomic_file(directory / VOCABULARY) as temporary:
            temporary.write_bytes(vocabulary)
    write_manifest(directory, [])
    # Last: from here on the directory is a store.
    header.write(directory)


def _go_on(directory: Path, header: StoreHeader) -> Manifest:
    refuse_difference(read_store_header(directory), header, directory)
    cut_unfinished_line(directory)
    _forget_deleted_shards(directory)
    store = ActivationStore.open(directory)
    store.verify()
    known = {entry.name for entry in store.manifest.shards}
    for file in directory.glob("shard-*.h5"):
        if file.name not in known:
            file.unlink()
    return store.manifest


def _forget_deleted_shards(directory: Path) -> None:
    """Drop the lines of shards that somebody deleted, so that they are recorded again."""
    shards = read_manifest(directory).shards
    present = [entry for entry in shards if (directory / entry.name).exists()]
    if len(present) < len(shards):
        write_manifest(directory, present)


def _make(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"{directory} is a file: a store is a directory, choose another --out")
    directory.mkdir(parents=True, exist_ok=True)
    fsync_directory(directory.parent)


def _refuse_foreign(directory: Path) -> None:
    """A directory with anything in it that is not ours is neither filled nor emptied."""
    foreign = sorted(file.name for file in directory.iterdir() if not _OURS.fullmatch(file.name))
    if foreign:
        raise BadInput(
            f"{directory} holds {foreign[0]!r}, which is no part of an activation store: "
            "choose another --out"
        )


def _refuse_orphans(directory: Path) -> None:
    """Shards without the files that say what they are may be days of work: never deleted unasked.

    A run of ours cannot leave this behind: it writes both files before its first shard. An
    overwriting run that is killed can, and says again that it overwrites.
    """
    n_shards = len(list(directory.glob("shard-*.h5")))
    for name in (HEADER, MANIFEST):
        if n_shards and not (directory / name).is_file():
            raise CorruptFile(
                f"{directory} holds {n_shards} shards and no {name}: put that file back, choose "
                "another --out, or start again with --overwrite, which deletes the shards"
            )


def _clear(directory: Path) -> None:
    # The header goes first: a directory without it is no store, however far this comes.
    (directory / HEADER).unlink(missing_ok=True)
    fsync_directory(directory)
    for file in directory.iterdir():
        if file.name != LOCK:
            file.unlink()


def _refuse_small_disk(directory: Path, manifest: Manifest, expected_bytes: int) -> None:
    needed = expected_bytes - sum(entry.bytes for entry in manifest.shards)
    free = shutil.disk_usage(directory).free
    if manifest.ending is None and needed > free:
        raise BadInput(
            f"{directory} needs {needed:,} bytes more and the disk has {free:,} free: make room, "
            "ask for fewer tokens or sites, or take --dtype float16"
        )


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EIO:
            raise CorruptFile(f"cannot read {error.filename or directory}: {error}") from error
        raise BadInput(
            f"cannot write {error.filename or directory}: {error.strerror or error}. "
            "Repair the place or choose another --out"
        ) from error
