"""The identities of several models, hashed while something else is done."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from interp.models import identity_process
from interp.models.identity import ModelIdentity, model_identity
from interp.models.weight_files import locate_tensors

_WORTH_A_PROCESS = 128 << 20
"""Bytes that are hashed in about the time a process takes to start."""


class Identities:
    """Hashes models from the moment the block is entered, on a thread or, if large, in a process.

    `wait` gives them; leaving the block without it stops the hashing.
    """

    def __init__(self, directories: Sequence[Path], *, cache: Path | None) -> None:
        self._directories = directories
        self._cache = cache
        self._stop = Event()
        self._found: list[ModelIdentity] = []
        self._error: BaseException | None = None
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._hash, name="identities", daemon=True)

    def __enter__(self) -> "Identities":
        distinct = list(dict.fromkeys(self._directories))
        if sum(map(_n_bytes, distinct)) > _WORTH_A_PROCESS:
            self._process = identity_process.start(distinct, cache=self._cache)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join()

    def wait(self) -> list[ModelIdentity]:
        """One identity a model, in order; raises what hashing raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _hash(self) -> None:
        distinct = list(dict.fromkeys(self._directories))
        try:
            if self._process is None:
                found = [
                    model_identity(one, cache=self._cache, stop=self._stop) for one in distinct
                ]
            else:
                found = identity_process.finish(self._process)
            known = dict(zip(distinct, found, strict=True))
            self._found = [known[directory] for directory in self._directories]
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._error = error


def _n_bytes(directory: Path) -> int:
    return sum(span.n_bytes for span in locate_tensors(directory).values())
