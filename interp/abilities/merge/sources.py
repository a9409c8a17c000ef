"""The pieces of a merge, read from checkpoints: any chunk of the base and of every model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Shaped

from interp.abilities.merge.method import Piece, Whole
from interp.abilities.merge.recipe import Numerics
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk, chunk_grid, in_order
from interp.abilities.streaming.numbers import FLOATS


@dataclass(frozen=True, kw_only=True)
class MergeSources:
    """A base and the models that are merged, open for reading."""

    base: Checkpoint
    models: Sequence[Checkpoint]
    numerics: Numerics

    def dtype(self, name: str) -> torch.dtype:
        """What a tensor is computed in: the formats' promotion, or float32 at least."""
        formats = [FLOATS[model.span(name).dtype] for model in (self.base, *self.models)]
        wide = [torch.float32] if self.numerics == "exact" else []
        return reduce(torch.promote_types, [*formats, *wide])

    def piece(
        self, chunk: Chunk, base_words: Shaped[np.ndarray, " entries"] | None = None
    ) -> Piece:
        """One chunk of the base, whose bits may be given, and of every model."""
        dtype = self.dtype(chunk.name)
        words = [self.base.words(chunk) if base_words is None else base_words]
        words += [model.words(chunk) for model in self.models]
        base, *models = (
            torch.from_numpy(one).view(FLOATS[model.span(chunk.name).dtype]).to(dtype)
            for one, model in zip(words, (self.base, *self.models), strict=True)
        )
        files = [str(model.span(chunk.name).file) for model in (self.base, *self.models)]
        return Piece(chunk, base, tuple(models), tuple(files))

    def whole(
        self, names: Sequence[str], generator: torch.Generator, *, chunk: int, threads: int
    ) -> Whole:
        """The named tensors, to be measured on side threads."""
        spans = [self.base.span(name) for name in names]
        chunks = list(chunk_grid([(span.name, span.n_entries) for span in spans], chunk=chunk))
        return Whole(
            chunks=chunks,
            dtype=self.dtype(names[0]),
            generator=generator,
            each=lambda work: in_order(
                lambda place: work(self.piece(place)), chunks, threads=threads
            ),
        )
