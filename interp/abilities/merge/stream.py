"""Merging over files: tensors are measured where their method asks for it, merged and written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from interp.abilities.masks.arrays import STORED_AS
from interp.abilities.merge.method import MergeMethod, Piece, check_finite
from interp.abilities.merge.recipe import MergeRecipe
from interp.abilities.merge.sources import MergeSources
from interp.abilities.moving.compatibility import is_float
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.streaming.chunks import Chunk, chunk_grid, in_order
from interp.abilities.streaming.numbers import not_finite_at, to_numbers, to_words
from interp.abilities.streaming.writer import Piece as Place
from interp.abilities.streaming.writer import StagedDirectory
from interp.models.weight_files import BYTES_OF
from interp.results.errors import Mismatch
from interp.results.progress import progress

_LARGEST_BLOCK = 16 << 20


class Written(NamedTuple):
    """One chunk of the output, as it is on disk now."""

    chunk: Chunk
    content: bytes | memoryview
    changed: int
    """Entries whose bits differ from the base's; where the format changes, whose value does."""


@dataclass(frozen=True, kw_only=True)
class MergeStream:
    """What is merged by which rule, and into which files."""

    sources: MergeSources
    method: MergeMethod
    recipe: MergeRecipe
    files: ModelFiles
    left_out: frozenset[str]
    """Tensors that stay as in the base."""
    chunk: int
    threads: int

    def out_dtype(self, name: str) -> str:
        """Number format of a tensor in the output."""
        span = self.sources.base.span(name)
        return self.files.dtype if self.files.dtype is not None and is_float(span) else span.dtype

    def write(self, staged: StagedDirectory) -> Iterator[Written]:
        """Write every chunk of the output; every tensor's chunks come in their order."""
        _keep_freed_memory()
        spans = self.sources.base.spans
        total = sum(span.n_entries for span in spans.values())
        with progress("merging", total=total, unit="entries") as advance:
            for names, facts in self._measured():
                chunks = chunk_grid([(n, spans[n].n_entries) for n in names], chunk=self.chunk)
                for written in in_order(
                    lambda chunk: self._write_chunk(staged, chunk, facts),  # noqa: B023
                    chunks,
                    threads=self.threads,
                ):
                    yield written
                    advance(written.chunk.stop - written.chunk.start)

    def _measured(self) -> Iterator[tuple[Sequence[str], Any]]:
        """Tensors, and what their method has measured of them."""
        names = [span.name for span in self.sources.base.in_file_order()]
        merged = [name for name in names if self._is_merged(name)]
        if self.method.measure is None or not merged:
            yield names, None
            return
        yield [name for name in names if not self._is_merged(name)], None
        # By name, not by place: the order of equal sizes and of mergekit's random numbers.
        merged.sort()
        generator = torch.Generator().manual_seed(self.recipe.seed)
        groups = [merged] if self.recipe.scope == "model" else [[name] for name in merged]
        for group in groups:
            whole = self.sources.whole(group, generator, chunk=self.chunk, threads=self.threads)
            if whole.chunks:
                yield group, self.method.measure(whole, self.recipe)

    def _is_merged(self, name: str) -> bool:
        return is_float(self.sources.base.span(name)) and name not in self.left_out

    def _write_chunk(self, staged: StagedDirectory, chunk: Chunk, facts: Any) -> Written:
        out_dtype = self.out_dtype(chunk.name)
        base = self.sources.base.words(chunk)
        file, start = self.files.starts[chunk.name]
        width = BYTES_OF[out_dtype]
        place = Place(file, start + chunk.start * width, len(base) * width)
        held = staged.held(place)
        if held is not None:
            words = np.frombuffer(held, dtype=STORED_AS[out_dtype])
        elif self._is_merged(chunk.name):
            words = self._merged(chunk, base, facts)
        else:
            words = self._in_format(chunk, base)
        content = words.data.cast("B")
        if held is None:
            staged.write(place.file, place.offset, content)
        before = self._in_format(chunk, base)
        raw = np.dtype(f"u{width}")
        return Written(chunk, content, int(np.count_nonzero(before.view(raw) != words.view(raw))))

    def _in_format(self, chunk: Chunk, base: np.ndarray) -> np.ndarray:
        dtype, out_dtype = self.sources.base.span(chunk.name).dtype, self.out_dtype(chunk.name)
        return base if dtype == out_dtype else to_words(to_numbers(base, dtype), out_dtype)

    def _merged(self, chunk: Chunk, base: np.ndarray, facts: Any) -> np.ndarray:
        piece = self.sources.piece(chunk, base)
        if self.method.hides:
            check_finite(piece)
        merged = self.method.merge(piece, self.recipe, facts)
        self._check_merged(piece, merged)
        return to_words(merged, self.out_dtype(chunk.name))

    def _check_merged(self, piece: Piece, merged: torch.Tensor) -> None:
        dtype = self.out_dtype(piece.chunk.name)
        bad = not_finite_at(merged, dtype)
        if not bad.size:
            return
        check_finite(piece)
        raise Mismatch(
            f"tensor {piece.chunk.name!r} becomes {float(merged[bad[0]])} at entry "
            f"{piece.chunk.start + int(bad[0])}, too large for {dtype}: lower the weights, or "
            "write another --dtype"
        )


def _keep_freed_memory() -> None:
    """Let the allocator keep what chunks free, which glibc else gives back after each of them.

    Its thresholds follow the largest block that was ever freed.
    """
    np.empty(_LARGEST_BLOCK, dtype=np.uint8)
