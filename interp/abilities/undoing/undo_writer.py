"""The base's bits where a transfer changes them, kept while the transfer is being written.

How many entries change is known only at the end: the file is given room for the most that it can
be, filled from the front, and cut. Nothing of it is journaled, since a resumed run works the same
bytes out again from the base and what it finds written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from interp.abilities.moving.addition import Addition, Tally, Written, merged_words
from interp.abilities.streaming.chunks import Chunk
from interp.abilities.streaming.layout import ArraySpec, FileLayout, file_layout
from interp.abilities.streaming.writer import StagedDirectory
from interp.abilities.undoing.undo_record import FOLDER, UndoTensor, bitmap_bytes
from interp.models.weight_files import BYTES_OF
from interp.results.errors import BadInput
from interp.results.finding import DATA

UndoMode = Literal["auto", "full", "base"]
FILE = f"{FOLDER}/{DATA}"
MOST_KEPT = 0.5
"""Share of changed entries above which the record would be the model over again."""
_PROBES = 4
_PROBE = 1 << 12
_UNSIGNED = {1: "U8", 2: "U16", 4: "U32", 8: "U64"}


@dataclass(frozen=True, kw_only=True)
class UndoPlan:
    """Which tensors may change, and in how many entries at most."""

    bounds: dict[str, int]
    """By name, in the order of the base's files."""
    most: int | None
    """Changed entries after which nothing more is kept; None: all are."""
    addition: Addition

    @property
    def size(self) -> int:
        """The most bytes that the file can have."""
        largest = max((self._width(name) for name in self.bounds), default=0)
        words = sum(self._width(name) * bound for name, bound in self.bounds.items())
        if self.most is not None:
            words = min(words, largest * self.most)
        return self.layout({}).size + words

    def layout(self, counts: dict[str, int]) -> FileLayout:
        """The file with so many original words a tensor."""
        longest = file_layout(self._arrays(self.bounds))
        return file_layout(self._arrays(counts), head_bytes=len(longest.head))

    def _arrays(self, counts: dict[str, int]) -> Iterator[ArraySpec]:
        for name in self.bounds:
            n_bytes = bitmap_bytes(self.addition.base.span(name).n_entries)
            yield ArraySpec(f"changed.{name}", "U8", (n_bytes,))
        for name in self.bounds:
            yield ArraySpec(f"words.{name}", _UNSIGNED[self._width(name)], (counts.get(name, 0),))

    def _width(self, name: str) -> int:
        return BYTES_OF[self.addition.base.span(name).dtype]


def undo_plan(addition: Addition, mode: UndoMode, *, n: int) -> UndoPlan | None:
    """What to keep; None if the base itself is to be the undo.

    "auto" keeps the originals unless more than half of all entries change. Where the terms alone
    do not settle that, a few thousand entries of every tensor are worked out to see.
    """
    if mode == "base":
        return None
    if any(addition.out_dtype(name) != span.dtype for name, span in addition.base.spans.items()):
        if mode == "full":
            raise BadInput(
                "--undo full with another --dtype would keep the whole base: leave --undo at base"
            )
        return None
    bounds = _bounds(addition)
    most = int(MOST_KEPT * n)
    if mode == "full":
        return UndoPlan(bounds=bounds, most=None, addition=addition)
    if sum(bounds.values()) > most and _expected_changes(addition, bounds) > most:
        return None
    return UndoPlan(bounds=bounds, most=most, addition=addition)


class UndoWriter:
    """The undo file of one transfer, filled chunk by chunk in the order of the base's files."""

    def __init__(self, staged: StagedDirectory, plan: UndoPlan) -> None:
        self._staged = staged
        self._plan = plan
        self._starts = plan.layout({}).starts
        self._end = plan.layout({}).size
        self._counts = dict.fromkeys(plan.bounds, 0)
        self._rest = np.empty(0, dtype=bool)
        self._packed = 0
        self.full = False
        """Whether more changed than is worth keeping."""

    def append(self, written: Written) -> None:
        """Keep the originals of the next chunk."""
        piece, originals = written.piece, written.originals
        if self.full or originals is None or piece.name not in self._counts:
            return
        self._mark(piece, originals.differs)
        raw = originals.words.view(f"u{originals.words.itemsize}")
        self._staged.write_unlisted(FILE, self._end, raw.data.cast("B"))
        self._end += raw.nbytes
        self._counts[piece.name] += raw.size
        most = self._plan.most
        self.full = most is not None and sum(self._counts.values()) > most

    def finish(self) -> dict[str, UndoTensor] | None:
        """Complete the file; what it holds, or None where it was given up and deleted."""
        if self.full:
            self._staged.drop(FILE)
            return None
        layout = self._plan.layout(self._counts)
        self._staged.write_unlisted(FILE, 0, memoryview(layout.head))
        self._staged.resize(FILE, layout.size)
        spans = self._plan.addition.base.spans
        return {
            name: UndoTensor(dtype=spans[name].dtype, shape=spans[name].shape, count=count)
            for name, count in self._counts.items()
        }

    def _mark(self, piece: Chunk, differs: np.ndarray) -> None:
        if piece.start == 0:
            self._rest, self._packed = np.empty(0, dtype=bool), 0
        joined = np.concatenate([self._rest, differs]) if self._rest.size else differs
        last = piece.stop == self._plan.addition.base.span(piece.name).n_entries
        whole = joined.size if last else joined.size // 8 * 8
        packed = np.packbits(joined[:whole], bitorder="little")
        offset = self._starts[f"changed.{piece.name}"] + self._packed
        self._staged.write_unlisted(FILE, offset, packed.data.cast("B"))
        self._packed += packed.size
        self._rest = joined[whole:]


def _bounds(addition: Addition) -> dict[str, int]:
    bounds = {}
    for span in addition.base.in_file_order():
        terms = addition.terms.get(span.name)
        if terms is None:
            continue
        if any(terms.language):
            bound = span.n_entries
        else:
            bound = sum(
                ability.count(span.name)
                for gamma, ability in zip(terms.gamma, addition.abilities, strict=False)
                if gamma
            )
        if bound:
            bounds[span.name] = min(bound, span.n_entries)
    return bounds


def _expected_changes(addition: Addition, bounds: dict[str, int]) -> float:
    """How many entries change, from evenly spaced pieces of every tensor."""
    probe = replace(addition, saturated=None if addition.saturated is None else Tally())
    total = 0.0
    for name in bounds:
        n = addition.base.span(name).n_entries
        starts = sorted({at * max(n - _PROBE, 0) // (_PROBES - 1) for at in range(_PROBES)})
        pieces = [Chunk(name, start, min(start + _PROBE, n)) for start in starts]
        changed = sum(_changes_in(probe, piece) for piece in pieces)
        total += n * changed / sum(piece.stop - piece.start for piece in pieces)
    return total


def _changes_in(addition: Addition, piece: Chunk) -> int:
    base = addition.base.words(piece)
    merged = merged_words(addition, piece, base)
    raw = np.dtype(f"u{base.itemsize}")
    return int(np.count_nonzero(base.view(raw) != merged.view(raw)))
