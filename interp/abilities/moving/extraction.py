"""The weights of an extraction, computed chunk by chunk, and the patches that make them exact."""

from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.masks.support import Support
from interp.abilities.moving.arithmetic import ability_delta
from interp.abilities.moving.extraction_plan import ExtractionPlan
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk, in_order
from interp.abilities.streaming.numbers import not_finite_at, to_numbers, to_words
from interp.abilities.streaming.writer import Piece, StagedDirectory
from interp.models.weight_files import BYTES_OF
from interp.results.errors import CorruptFile
from interp.results.finding import DATA
from interp.results.progress import progress

_PART = 1 << 22


def write_weights(staged: StagedDirectory, plan: ExtractionPlan, *, threads: int) -> None:
    """Fill the data file: supports, weights, then patches and the header that counts them."""
    for name, support in plan.supports.items():
        for start in range(0, support.data.size, _PART):
            part = np.ascontiguousarray(support.data[start : start + _PART])
            offset = plan.layout.starts[f"support.{name}"] + start * support.data.itemsize
            staged.write(DATA, offset, part.data.cast("B"))
    counts: dict[str, int] = {}
    total = sum(piece.stop - piece.start for piece in plan.offsets)
    with (
        TemporaryFile(dir=staged.path) as positions,
        TemporaryFile(dir=staged.path) as bits,
        progress("extracting", total=total, unit="entries") as advance,
    ):
        for piece, patch in in_order(
            lambda piece: _extract_chunk(staged, plan, piece), plan.offsets, threads=threads
        ):
            positions.write(patch.positions.tobytes())
            bits.write(patch.bits.tobytes())
            counts[piece.name] = counts.get(piece.name, 0) + patch.positions.size
            advance(piece.stop - piece.start)
        _append_patches(staged, plan, counts, positions, bits)


@dataclass(frozen=True)
class _Patch:
    """Entries of one chunk that the rounded sum misses, counted from the tensor's start."""

    positions: np.ndarray
    bits: np.ndarray


_NO_PATCH = _Patch(np.empty(0, np.uint64), np.empty(0, np.uint8))


def _extract_chunk(
    staged: StagedDirectory, plan: ExtractionPlan, piece: Chunk
) -> tuple[Chunk, _Patch]:
    offset = plan.offsets[piece]
    if not offset.count:
        return piece, _NO_PATCH
    exact = plan.recipe.exact
    if not exact and staged.held(Piece(DATA, offset.start, 4 * offset.count)) is not None:
        return piece, _NO_PATCH
    support = plan.supports[piece.name]
    positions = support.positions(piece.start, piece.stop)
    words = [_taken(model, piece, support, positions) for model in plan.models]
    numbers = [
        to_numbers(part, model.span(piece.name).dtype)
        for part, model in zip(words, plan.models, strict=True)
    ]
    delta = ability_delta(
        numbers[0],
        numbers[1],
        numbers[2] if plan.recipe.beta else None,
        alpha=plan.recipe.alpha,
        beta=plan.recipe.beta,
    ).float()
    _check_finite(plan, piece, positions, numbers, delta)
    staged.write(DATA, offset.start, delta.numpy().data.cast("B"))
    if not exact:
        return piece, _NO_PATCH
    return piece, _patch(plan.dtype(piece.name), piece, positions, words, numbers[0], delta)


def _taken(model: Checkpoint, piece: Chunk, support: Support, positions: np.ndarray) -> np.ndarray:
    words = model.words(piece)
    return words if support.encoding == "all" else words[positions]


def _patch(
    dtype: str,
    piece: Chunk,
    positions: np.ndarray,
    words: list[np.ndarray],
    base: Float[Tensor, " found"],
    delta: Float[Tensor, " found"],
) -> _Patch:
    raw = np.dtype(f"u{BYTES_OF[dtype]}")
    target = words[1].view(raw)
    rebuilt = to_words(torch.where(delta == 0, base, base + delta), dtype).view(raw)
    missed = np.flatnonzero(rebuilt != target)
    return _Patch((positions[missed] + piece.start).astype(np.uint64), target[missed])


def _check_finite(
    plan: ExtractionPlan,
    piece: Chunk,
    positions: np.ndarray,
    numbers: list[Float[Tensor, " found"]],
    delta: Float[Tensor, " found"],
) -> None:
    if not not_finite_at(delta, "F32").size:
        return
    for part, model in zip(numbers, plan.models, strict=True):
        bad = np.flatnonzero(~torch.isfinite(part).numpy())
        if bad.size:
            raise CorruptFile(
                f"tensor {piece.name!r} of {model.span(piece.name).file} is {float(part[bad[0]])} "
                f"at entry {piece.start + int(positions[bad[0]])}: nothing can be extracted there"
            )
    bad = not_finite_at(delta, "F32")
    raise CorruptFile(
        f"tensor {piece.name!r}: the difference at entry "
        f"{piece.start + int(positions[bad[0]])} is too large for float32"
    )


def _append_patches(
    staged: StagedDirectory,
    plan: ExtractionPlan,
    counts: dict[str, int],
    positions: IO[bytes],
    bits: IO[bytes],
) -> None:
    layout = plan.layout_with(counts)
    staged.resize(DATA, layout.size)
    positions.seek(0)
    bits.seek(0)
    for name, count in counts.items():
        raw = BYTES_OF[plan.dtype(name)]
        for kind, source, width in (("positions", positions, 8), ("bits", bits, raw)):
            _copy(staged, source, layout.starts[f"patch_{kind}.{name}"], count * width)
    staged.write(DATA, 0, memoryview(layout.head))


def _copy(staged: StagedDirectory, source: IO[bytes], offset: int, n_bytes: int) -> None:
    while n_bytes:
        content = source.read(min(n_bytes, 1 << 22))
        staged.write(DATA, offset, memoryview(content))
        offset += len(content)
        n_bytes -= len(content)
