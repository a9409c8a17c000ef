"""Files and directories that exist whole or not at all."""

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interp.results.errors import BadInput, Incomplete

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WITH_SCHEMA = ("header.json", "interp.json", "study.json")
_MAX_MARKER_BYTES = 64 << 20
_TEMPORARY = re.compile(r"\..+\.tmp-[0-9a-f]{8}", re.DOTALL)


def fsync_directory(path: Path) -> None:
    """Make the names inside `path` survive a power cut (a rename is only durable after this)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the bytes of `path` durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed onto `path`.

    On any exception the temporary file is removed and `path` is as it was. Raises BadInput if the
    place cannot be written, Incomplete if the disk is full.
    """
    temporary = _temporary(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            fsync_file(temporary)
            temporary.replace(path)
            fsync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it is synced and renamed to `path`.

    An existing `path` is refused (`BadInput`) unless `replace`, which swaps by two renames and only
    what `check_out` allows. On any exception the temporary directory is removed and `path` is as it
    was. Raises BadInput if the place cannot be written, Incomplete if the disk is full.
    """
    check_out(path, replace=replace)
    temporary = _temporary(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        with _explained(path, inside=temporary):
            yield temporary
        with _explained(path):
            for file in temporary.rglob("*"):
                if file.is_file():
                    fsync_file(file)
                elif file.is_dir():
                    fsync_directory(file)
            fsync_directory(temporary)
            swap_in(temporary, path)
            fsync_directory(path.parent)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def check_out(path: Path, *, replace: bool = False) -> None:
    """BadInput unless a directory `path` can be written; to be called before any work.

    What exists is refused unless `replace`, and even then unless it is an empty directory or one
    that interp made: it holds `header.json`, `interp.json` or `study.json` with a schema of ours.
    """
    with _explained(path):
        if path.exists() or path.is_symlink():
            if not replace:
                raise BadInput(
                    f"{path} exists: choose another place, or pass --overwrite to replace it"
                )
            if not _is_ours(path):
                raise BadInput(
                    f"{path} is not something interp made, and is not overwritten: choose another "
                    "--out"
                )
        above = path.absolute().parent
        while not above.exists():
            above = above.parent
        # Permissions do not tell of /proc, of a full quota or of a name too long: try it.
        trial = above / _temporary(path).name
        trial.mkdir()
        trial.rmdir()


def swap_in(directory: Path, path: Path) -> None:
    """Rename `directory` to `path`; what was there is put aside first, and then deleted."""
    if not path.exists():
        directory.rename(path)
        return
    old = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:8]}")
    path.rename(old)
    try:
        directory.rename(path)
    except OSError:
        old.rename(path)
        raise
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old)


def remove_temporaries(directory: Path) -> None:
    """Delete the unfinished files that a killed `atomic_file` left anywhere in `directory`."""
    for left in directory.rglob("*"):
        if _TEMPORARY.fullmatch(left.name) and left.is_file():
            left.unlink()


def _temporary(path: Path) -> Path:
    if not path.name:
        raise BadInput(f"{path} has no name of its own: choose another --out")
    return path.with_name(f".{path.name}.tmp-{uuid.uuid4().hex[:8]}")


def _is_ours(path: Path) -> bool:
    if not path.is_dir():
        return False
    if not any(path.iterdir()):
        return True
    return any(_schema(path / name).startswith("interp.") for name in _WITH_SCHEMA)


def _schema(file: Path) -> str:
    """What a JSON file says that it is; empty where it says nothing or is no JSON object."""
    if not file.is_file() or file.stat().st_size > _MAX_MARKER_BYTES:
        return ""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return ""
    return str(content.get("schema", "")) if isinstance(content, dict) else ""


@contextmanager
def _explained(path: Path, *, inside: Path | None = None) -> Iterator[None]:
    """Say which result could not be written, and why; with `inside` only of files in there."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise Incomplete(
                f"the disk is full ({error.strerror}): {path} was not written; make room and run "
                "the same command again"
            ) from error
        elsewhere = inside is not None and not str(error.filename).startswith(str(inside))
        if error.errno == errno.EIO or elsewhere:
            raise
        raise BadInput(
            f"{path} cannot be written ({error.strerror or error}): choose another --out"
        ) from error


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN and infinity are refused (ValueError)."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
