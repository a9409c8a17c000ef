"""The identities of several models, hashed while something else is done."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

from interp.models.identity import ModelIdentity, model_identity


class Identities:
    """Hashes models on a side thread from the moment the block is entered.

    `wait` gives them; leaving the block without it stops the hashing.
    """

    def __init__(self, directories: Sequence[Path], *, cache: Path | None) -> None:
        self._directories = directories
        self._cache = cache
        self._stop = Event()
        self._found: list[ModelIdentity] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._hash, name="identities", daemon=True)

    def __enter__(self) -> "Identities":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self) -> list[ModelIdentity]:
        """One identity a model, in order; raises what hashing raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _hash(self) -> None:
        known: dict[Path, ModelIdentity] = {}
        try:
            for directory in self._directories:
                if directory not in known:
                    known[directory] = model_identity(directory, cache=self._cache, stop=self._stop)
                self._found.append(known[directory])
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._error = error
