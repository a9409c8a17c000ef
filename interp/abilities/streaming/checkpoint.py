"""Checkpoint: the tensors of a Hugging Face directory, read a piece at a time."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType

import numpy as np
from jaxtyping import Shaped

from interp.abilities.masks.arrays import STORED_AS
from interp.abilities.moving.row_map import RowMap
from interp.abilities.streaming.chunks import CHUNK, Chunk, chunk_grid
from interp.models.weight_files import TensorSpan, locate_tensors
from interp.results.errors import BadInput, CorruptFile


class Checkpoint:
    """Every tensor's place in a model directory, and its bits on request.

    Opening reads headers only and checks them against the files; nothing else is read until it is
    asked for. Threads may read at the same time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self.spans: dict[str, TensorSpan] = locate_tensors(self.directory)
        self.rows: dict[str, RowMap] = {}
        """By token table, which row stands for which of the base's; absent where all are alike."""
        self._descriptors: dict[Path, int] = {}
        self._lock = Lock()

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()

    def rename(self, names: Mapping[str, str]) -> None:
        """Call every tensor by the name that `names` has for it."""
        self.spans = {
            names[name]: replace(span, name=names[name]) for name, span in self.spans.items()
        }

    def alias(self, name: str, of: str) -> None:
        """Give a tensor a second name."""
        self.spans[name] = replace(self.spans[of], name=name)

    def drop(self, name: str) -> None:
        """Forget a tensor; its bytes stay in the file."""
        del self.spans[name]

    def span(self, name: str) -> TensorSpan:
        """The place of one tensor; BadInput if the model has none of that name."""
        if name not in self.spans:
            raise BadInput(f"{self.directory} has no tensor {name!r}")
        return self.spans[name]

    def chunks(self, names: Iterable[str] | None = None, *, chunk: int = CHUNK) -> Iterator[Chunk]:
        """The chunks of the named tensors, or of all in the order of their bytes on disk."""
        spans = self.in_file_order() if names is None else [self.span(name) for name in names]
        return chunk_grid(((span.name, span.n_entries) for span in spans), chunk=chunk)

    def in_file_order(self) -> list[TensorSpan]:
        """All tensors, file by file, as their bytes lie."""
        return sorted(self.spans.values(), key=lambda span: (span.file, span.start, span.name))

    def words(self, chunk: Chunk) -> Shaped[np.ndarray, " entries"]:
        """The bits of a chunk, in the NumPy type of arrays.STORED_AS."""
        span = self.span(chunk.name)
        words = np.empty(chunk.stop - chunk.start, dtype=STORED_AS[span.dtype])
        self._fill(span, span.start + chunk.start * words.itemsize, words.data.cast("B"))
        return words

    def _fill(self, span: TensorSpan, offset: int, buffer: memoryview) -> None:
        descriptor = self._descriptor(span.file)
        done = 0
        while done < len(buffer):
            read = os.preadv(descriptor, [buffer[done:]], offset + done)
            if read == 0:
                raise CorruptFile(f"{span.file} ends inside tensor {span.name!r}: it was truncated")
            done += read

    def _descriptor(self, file: Path) -> int:
        with self._lock:
            if file not in self._descriptors:
                self._descriptors[file] = os.open(file, os.O_RDONLY)
            return self._descriptors[file]
