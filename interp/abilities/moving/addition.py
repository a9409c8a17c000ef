"""Formula (5) over files: every chunk of the base, with what is added to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from interp.abilities.masks.arrays import STORED_AS
from interp.abilities.moving.ability_chunks import AbilityChunks
from interp.abilities.moving.arithmetic import AbilityTerm, LanguageTerm, merged_tensor
from interp.abilities.moving.compatibility import is_float
from interp.abilities.moving.partner import numbers_beside
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk, in_order
from interp.abilities.streaming.numbers import FLOATS, not_finite_at, to_numbers, to_words
from interp.abilities.streaming.writer import Piece, StagedDirectory
from interp.models.weight_files import BYTES_OF
from interp.results.errors import CorruptFile, Mismatch
from interp.results.progress import progress


class Tally:
    """A count that several threads add to."""

    def __init__(self) -> None:
        self.n = 0
        self._lock = Lock()

    def add(self, n: int) -> None:
        """Count so many more."""
        with self._lock:
            self.n += n


class TensorTerms(NamedTuple):
    """The coefficients that apply to one tensor; zeros add nothing and are not read."""

    gamma: tuple[float, ...]
    """Of every ability, in order."""
    language: tuple[float, ...]
    """Of every language model's difference to the base, in order: eta * mu."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """What is added to which base, and as what it is written."""

    base: Checkpoint
    abilities: Sequence[AbilityChunks]
    languages: Sequence[Checkpoint]
    terms: dict[str, TensorTerms]
    """By tensor name; a tensor that is not in it is copied."""
    dtype: str | None
    """Number format of the output's floats, as safetensors writes it; None: the base's own."""
    patched: bool
    """Whether the sum is the ability model itself, so that its patch list holds."""
    starts: dict[str, tuple[str, int]]
    """File and first byte of every tensor in the output."""
    keeps_originals: bool
    """Whether every chunk comes with the base's bits where it differs."""
    saturated: Tally | None
    """Counts the sums put at the end of the format's range; None: such a sum is refused."""

    def out_dtype(self, name: str) -> str:
        """Number format of a tensor in the output."""
        span = self.base.span(name)
        return self.dtype if self.dtype is not None and is_float(span) else span.dtype


class Originals(NamedTuple):
    """What stood in the base where one chunk differs from it."""

    differs: Bool[np.ndarray, " entries"]
    words: Shaped[np.ndarray, " changed"]


class Written(NamedTuple):
    """One chunk of the output, as it is on disk now."""

    piece: Chunk
    content: bytes | memoryview
    changed: int
    """Entries whose bits differ from the base's; where the format changes, whose value does."""
    originals: Originals | None
    """None where they are not kept."""


def write_merged(
    staged: StagedDirectory, addition: Addition, *, chunk: int, threads: int
) -> Iterator[Written]:
    """Write every chunk of the output, and yield it in the order of the base's files."""
    total = sum(span.n_entries for span in addition.base.spans.values())
    pieces = addition.base.chunks(chunk=chunk)
    with progress("transferring", total=total, unit="entries") as advance:
        for written in in_order(
            lambda piece: _write_chunk(staged, addition, piece), pieces, threads=threads
        ):
            yield written
            advance(written.piece.stop - written.piece.start)


def merged_words(
    addition: Addition, piece: Chunk, base: Shaped[np.ndarray, " entries"]
) -> Shaped[np.ndarray, " entries"]:
    """The bits of one chunk of the output, given those of the base."""
    span = addition.base.span(piece.name)
    terms = addition.terms.get(piece.name, TensorTerms((), ()))
    abilities = list(_ability_terms(addition, piece, terms))
    languages = [
        (c, model) for c, model in zip(terms.language, addition.languages, strict=False) if c
    ]
    if languages or span.dtype != addition.out_dtype(piece.name):
        words = _everywhere(addition, piece, base, abilities, languages)
    elif abilities:
        words = _where_added(addition, piece, base, abilities)
    else:
        return base
    if addition.patched:
        addition.abilities[0].apply_patch(piece, words)
    return words


def _ability_terms(addition: Addition, piece: Chunk, terms: TensorTerms) -> Iterator[AbilityTerm]:
    for gamma, ability in zip(terms.gamma, addition.abilities, strict=False):
        entries = ability.entries(piece) if gamma else None
        if entries is not None:
            yield AbilityTerm(gamma, *entries)


def _everywhere(
    addition: Addition,
    piece: Chunk,
    base: np.ndarray,
    abilities: list[AbilityTerm],
    languages: list[tuple[float, Checkpoint]],
) -> np.ndarray:
    numbers = to_numbers(base, addition.base.span(piece.name).dtype)
    others = [(c, model, numbers_beside(model, piece, numbers)) for c, model in languages]
    merged = merged_tensor(
        numbers, abilities=abilities, languages=[LanguageTerm(c, part) for c, _, part in others]
    )
    used = [(addition.base, numbers), *((model, part) for _, model, part in others)]
    merged = _fitting(addition, piece, merged, used=used, positions=None)
    return to_words(merged, addition.out_dtype(piece.name))


def _where_added(
    addition: Addition, piece: Chunk, base: np.ndarray, abilities: list[AbilityTerm]
) -> np.ndarray:
    """The base with new bits at the entries that get a weight, and at no other."""
    positions = _union(abilities, len(base))
    at_positions = [
        AbilityTerm(gamma, torch.searchsorted(positions, _given(where, len(base))), delta)
        for gamma, where, delta in abilities
    ]
    numbers = to_numbers(base[positions.numpy()], addition.base.span(piece.name).dtype)
    merged = merged_tensor(numbers, abilities=at_positions)
    used = [(addition.base, numbers)]
    merged = _fitting(addition, piece, merged, used=used, positions=positions.numpy())
    words = base.copy()
    words[positions.numpy()] = to_words(merged, addition.out_dtype(piece.name))
    return words


def _given(positions: Tensor | None, n_entries: int) -> Tensor:
    return torch.arange(n_entries) if positions is None else positions


def _union(abilities: list[AbilityTerm], n_entries: int) -> Int64[Tensor, " found"]:
    found = [_given(term.positions, n_entries) for term in abilities]
    return found[0] if len(found) == 1 else torch.unique(torch.cat(found))


def _fitting(
    addition: Addition,
    piece: Chunk,
    merged: Float[Tensor, " found"],
    *,
    used: list[tuple[Checkpoint, Float[Tensor, " found"]]],
    positions: np.ndarray | None,
) -> Float[Tensor, " found"]:
    """The sum, with what the format cannot hold at its ends if that is allowed."""
    dtype = addition.out_dtype(piece.name)
    bad = not_finite_at(merged, dtype)
    if not bad.size:
        return merged
    sound = all(bool(torch.isfinite(numbers[bad]).all()) for _, numbers in used)
    if addition.saturated is not None and sound and not bool(merged[bad].isnan().any()):
        addition.saturated.add(bad.size)
        largest = torch.finfo(FLOATS[dtype]).max
        return merged.clamp(-largest, largest)
    entry = piece.start + int(bad[0] if positions is None else positions[bad[0]])
    for model, numbers in used:
        value = float(numbers[bad[0]])
        if not np.isfinite(value):
            raise CorruptFile(
                f"tensor {piece.name!r} of {model.span(piece.name).file} is {value} at entry "
                f"{entry}: nothing can be added there"
            )
    raise Mismatch(
        f"tensor {piece.name!r} becomes {float(merged[bad[0]])} at entry {entry}, too large for "
        f"{dtype}: lower the coefficients, write another --dtype, or pass --saturate"
    )


def _write_chunk(staged: StagedDirectory, addition: Addition, piece: Chunk) -> Written:
    base = addition.base.words(piece)
    out_dtype = addition.out_dtype(piece.name)
    width = BYTES_OF[out_dtype]
    file, start = addition.starts[piece.name]
    place = Piece(file, start + piece.start * width, len(base) * width)
    # What is at the end of a range is counted while it is computed, so then nothing is skipped.
    held = staged.held(place) if addition.saturated is None else None
    words = (
        np.frombuffer(held, dtype=STORED_AS[out_dtype])
        if held is not None
        else merged_words(addition, piece, base)
    )
    content = words.data.cast("B")
    if held is None:
        staged.write(place.file, place.offset, content)
    differs = _differs(addition, piece, base, words)
    changed = 0 if differs is None else int(np.count_nonzero(differs))
    return Written(piece, content, changed, _originals(addition, base, differs))


def _differs(
    addition: Addition, piece: Chunk, base: np.ndarray, words: np.ndarray
) -> np.ndarray | None:
    """Where the output is not the base; None for nowhere."""
    dtype, out_dtype = addition.base.span(piece.name).dtype, addition.out_dtype(piece.name)
    if words is base:
        return None
    before = base if dtype == out_dtype else to_words(to_numbers(base, dtype), out_dtype)
    raw = np.dtype(f"u{BYTES_OF[out_dtype]}")
    return before.view(raw) != words.view(raw)


def _originals(
    addition: Addition, base: np.ndarray, differs: np.ndarray | None
) -> Originals | None:
    if not addition.keeps_originals:
        return None
    if differs is None:
        return Originals(np.zeros(len(base), dtype=bool), base[:0])
    return Originals(differs, base[differs])
