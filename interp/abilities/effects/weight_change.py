"""How far an edit moved the weights: norm and entries changed, streamed, no model held."""

import math
from pathlib import Path

import torch

from interp.abilities.effects.side_effects import WeightChange
from interp.abilities.moving.compatibility import check_same_tensors, is_float
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import CHUNK, THREADS, Chunk, in_order
from interp.abilities.streaming.numbers import to_numbers
from interp.results.progress import progress


def weight_change(
    base: Path, edited: Path, *, name: str, chunk: int = CHUNK, threads: int = THREADS
) -> WeightChange:
    """Norm of edited minus base and how many values differ, over all tensors of numbers.

    Differences are taken in float64, so that a change smaller than float32 tells apart from none;
    zeros of either sign are one value. `name` stands in the result. Raises Mismatch unless the two
    hold the same tensors; number formats may differ, and then what rounding did counts as a change.
    """
    with Checkpoint(base) as start, Checkpoint(edited) as end:
        check_same_tensors(start, end, cast=True)
        names = [span.name for span in start.in_file_order() if is_float(span)]
        n_entries = sum(start.span(tensor).n_entries for tensor in names)

        def of_chunk(piece: Chunk) -> tuple[int, float, float, int]:
            before = _numbers(start, piece)
            change = _numbers(end, piece) - before
            n_changed = int(torch.count_nonzero(change))
            return change.numel(), _square(change), _square(before), n_changed

        squares, norms, n_changed = [], [], 0
        with progress("comparing weights", total=n_entries, unit="entries") as advance:
            for size, square, norm, count in in_order(
                of_chunk, start.chunks(names, chunk=chunk), threads=threads
            ):
                squares.append(square)
                norms.append(norm)
                n_changed += count
                advance(size)
    norm = math.sqrt(math.fsum(squares))
    of_base = math.sqrt(math.fsum(norms))
    return WeightChange(
        model=name,
        norm=norm,
        relative_norm=norm / of_base if of_base else 0.0,
        n_changed=n_changed,
        n_entries=n_entries,
    )


def _numbers(model: Checkpoint, piece: Chunk) -> torch.Tensor:
    return to_numbers(model.words(piece), model.span(piece.name).dtype).double()


def _square(numbers: torch.Tensor) -> float:
    return float(numbers.square().sum())
