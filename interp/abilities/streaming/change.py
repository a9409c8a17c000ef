"""The size of every entry, and how far it moved between two checkpoints, as scores to rank."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import CHUNK, Chunk, in_order
from interp.abilities.streaming.numbers import to_numbers
from interp.abilities.streaming.topk import Scores


def absolute_size(base: Checkpoint, *, chunk: int = CHUNK) -> Scores:
    """|base| of one tensor by name, in pieces."""

    def size(piece: Chunk) -> Float32[np.ndarray, " entries"]:
        return to_numbers(base.words(piece), base.span(piece.name).dtype).abs().float().numpy()

    def pieces(name: str) -> Iterator[Float32[np.ndarray, " entries"]]:
        return in_order(size, base.chunks([name], chunk=chunk))

    return pieces


def absolute_change(base: Checkpoint, trained: Checkpoint, *, chunk: int = CHUNK) -> Scores:
    """|trained - base| of one tensor by name, in pieces: the score of MAET's (1) (2410.07825)."""

    def change(piece: Chunk) -> Float32[np.ndarray, " entries"]:
        before = to_numbers(base.words(piece), base.span(piece.name).dtype)
        after = to_numbers(trained.words(piece), trained.span(piece.name).dtype)
        return (after - before).abs_().float().numpy()

    def pieces(name: str) -> Iterator[Float32[np.ndarray, " entries"]]:
        return in_order(change, base.chunks([name], chunk=chunk))

    return pieces


def excess_change(
    base: Checkpoint, trained: Checkpoint, general: Checkpoint, *, chunk: int = CHUNK
) -> Scores:
    """max(0, |trained - base| - |general - base|): the change that general data make taken off."""
    ability = absolute_change(base, trained, chunk=chunk)
    anyway = absolute_change(base, general, chunk=chunk)

    def pieces(name: str) -> Iterator[Float32[np.ndarray, " entries"]]:
        for moved, by_both in zip(ability(name), anyway(name), strict=True):
            yield np.maximum(moved - by_both, 0)

    return pieces
