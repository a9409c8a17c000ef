"""A store's label columns as functions: which tokens make a row, and which rows are positives."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from interp.capture.header import COLUMNS
from interp.capture.store import ActivationStore
from interp.neurons.functions import LabelledFunctions, Rows
from interp.neurons.questions import Chance, Question, Split, generator_of, questions, with_rows
from interp.neurons.relabelling import exchanged_of
from interp.results.errors import BadInput

__all__ = ["generator_of", "labelled_functions"]


def labelled_functions(
    store: ActivationStore,
    labels: Sequence[str],
    *,
    rows: Rows = "documents",
    within: str | None = None,
    group: str | None = None,
    chance: Chance | None = "balance",
    per_class: int | None = 1000,
    seed: int = 0,
    specials: bool = False,
) -> LabelledFunctions:
    """The functions that label columns of a store ask, over its documents, sequences or tokens.

    A label of two values is one function, of more one for each value against the rest. `within`
    names a label whose values are sub-functions, each with the rows of that value alone; `group`
    names the label that says which function a sub-function is a part of. A token whose label is -1
    is no part, so a label given on a span pools over that span. BOS, EOS and the like are left out
    unless `specials`. Raises BadInput for a label that is not there, holds fractions, has one class
    only, or changes inside a document or sequence that is to be one row.
    """
    if not labels:
        raise BadInput("no label: name one or more label columns of the store")
    if within is not None and len(labels) > 1:
        raise BadInput(f"--within {within} takes one label, and {len(labels)} were given")
    if group is not None and within is None:
        raise BadInput(f"--group {group} says what sub-functions belong to: name them by --within")
    unit = _units(store, rows)
    kept = np.ones(store.n_rows, bool) if specials else _is_text(store)
    pooled = _Rows()
    found: list[tuple[Question, int]] = []
    for name in labels:
        codes = _codes(store, name)
        place = pooled.add(unit, kept & (codes != -1))
        asked = questions(
            pooled.of_rows(codes, place, name, rows),
            name=name,
            values=store.label_values(name),
            within=_split(store, within, pooled, place, rows),
            group=_split(store, group, pooled, place, rows),
        )
        found += [(question, place) for question in asked]
    document = pooled.documents(_whole(store, "document"))
    wide = [pooled.widened(question, place) for question, place in found]
    built = [
        with_rows(
            question,
            # Of all rows: few that were drawn can be alike in a document by accident.
            exchanged=exchanged_of(question.labels, document),
            chance=chance,
            per_class=per_class,
            seed=seed,
            identity=f"{store.provenance.corpus_hash}/{rows}/{store.n_rows}".encode(),
        )
        for question in wide
    ]
    return LabelledFunctions(
        functions=tuple(function for function, _ in built),
        labels=np.stack([kept for _, kept in built]),
        row_of=np.stack(pooled.row_of),
        rows=rows,
        document=document,
    )


class _Mask(NamedTuple):
    mask: Bool[np.ndarray, " n_tokens"]
    first: int
    """Number of its first row."""
    n_rows: int


class _Rows:
    """The rows of every mask, numbered through; labels on the same tokens share their rows."""

    def __init__(self) -> None:
        self.masks: list[_Mask] = []
        self.row_of: list[Int64[np.ndarray, " n_tokens"]] = []

    def add(self, unit: Int64[np.ndarray, " n_tokens"], mask: Bool[np.ndarray, " n_tokens"]) -> int:
        """The number of this mask, new or known."""
        for i, known in enumerate(self.masks):
            if np.array_equal(known.mask, mask):
                return i
        first = sum(known.n_rows for known in self.masks)
        units, inverse = np.unique(unit[mask], return_inverse=True)
        row_of = np.full(len(mask), -1, np.int64)
        row_of[mask] = first + inverse
        self.masks.append(_Mask(mask, first, len(units)))
        self.row_of.append(row_of)
        return len(self.masks) - 1

    def of_rows(
        self, codes: Int64[np.ndarray, " n_tokens"], place: int, name: str, rows: Rows
    ) -> Int64[np.ndarray, " rows"]:
        """A label's code on every row of a mask. Raises BadInput where it changes inside one."""
        known, row_of = self.masks[place], self.row_of[place]
        inside = row_of >= 0
        local = row_of[inside] - known.first
        found = np.full(known.n_rows, -1, np.int64)
        found[local] = codes[inside]
        changed = found[local] != codes[inside]
        if changed.any():
            token = int(np.flatnonzero(inside)[changed.argmax()])
            raise BadInput(
                f"label {name!r} changes inside one of the {rows} (row {token} of the store): "
                "score it by tokens (--pool token), or give it one value throughout"
            )
        return found

    def documents(self, document: Int64[np.ndarray, " n_tokens"]) -> Int64[np.ndarray, " rows"]:
        """The document of every row's first token."""
        found = np.full(sum(known.n_rows for known in self.masks), -1, np.int64)
        for row_of in self.row_of:
            # Of equal indices the last is kept.
            inside = np.flatnonzero(row_of >= 0)[::-1]
            found[row_of[inside]] = document[inside]
        return found

    def widened(self, question: Question, place: int) -> Question:
        """The question over the rows of all masks, with no part in those of others."""
        labels = np.full(sum(known.n_rows for known in self.masks), -1, np.int8)
        first = self.masks[place].first
        labels[first : first + len(question.labels)] = question.labels
        return question._replace(labels=labels)


def _split(
    store: ActivationStore, name: str | None, pooled: _Rows, place: int, rows: Rows
) -> Split | None:
    if name is None:
        return None
    codes = pooled.of_rows(_codes(store, name), place, name, rows)
    return Split(name, codes, store.label_values(name))


def _codes(store: ActivationStore, name: str) -> Int64[np.ndarray, " n_tokens"]:
    known = [column for column in store.columns if column not in COLUMNS]
    if name not in known:
        raise BadInput(
            f"{store.path} has no label {name!r}: it has {', '.join(known) or 'no labels'}; "
            "capture with --label"
        )
    if np.dtype(store.header.columns[name]).kind not in "iub":
        raise BadInput(f"label {name!r} of {store.path} holds fractions: expected classes")
    return _whole(store, name)


def _units(store: ActivationStore, rows: Rows) -> Int64[np.ndarray, " n_tokens"]:
    if store.n_rows == 0:
        raise BadInput(f"{store.path} holds no row: capture some tokens first")
    if rows == "tokens":
        return np.arange(store.n_rows, dtype=np.int64)
    return _whole(store, {"documents": "document", "sequences": "sequence"}[rows])


def _is_text(store: ActivationStore) -> Bool[np.ndarray, " n_tokens"]:
    special, bos = (store.column(c, 0, store.n_rows) for c in ("is_special", "is_bos"))
    return ~(special | bos)


def _whole(store: ActivationStore, column: str) -> Int64[np.ndarray, " n_tokens"]:
    return store.column(column, 0, store.n_rows).astype(np.int64)
