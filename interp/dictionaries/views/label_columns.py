"""Which label columns of a store can be told apart by a feature, and the values they take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interp.capture.header import COLUMNS
from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

MAX_VALUES = 32
_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """A label with few values."""

    name: str
    values: tuple[int, ...]
    of_documents: bool
    """Every document has one value throughout."""


def label_columns(
    store: ActivationStore, names: Sequence[str] | None
) -> tuple[tuple[LabelColumn, ...], dict[str, str]]:
    """The columns asked for, or all that fit; and why each other one was left out.

    A label needs 2 to 32 values, integer or boolean. BadInput where one that was asked for by name
    is not there or does not fit.
    """
    known = [name for name in store.columns if name not in COLUMNS]
    found, left_out = [], {}
    for name in known if names is None else names:
        if name not in known:
            raise BadInput(
                f"{store.path} has no label {name!r}: it has {', '.join(known) or 'no labels'}"
            )
        column = _read(store, name)
        if isinstance(column, LabelColumn):
            found.append(column)
        elif names is None:
            left_out[name] = column
        else:
            raise BadInput(f"label {name!r} of {store.path} {column}")
    return tuple(found), left_out


def _read(store: ActivationStore, name: str) -> LabelColumn | str:
    if np.dtype(store.header.columns[name]).kind not in "iub":
        return "holds fractions: expected integers that name values"
    values: set[int] = set()
    of_documents, last = True, (-1, 0)
    for start in range(0, store.n_rows, _BLOCK):
        stop = min(start + _BLOCK, store.n_rows)
        label = store.column(name, start, stop).astype(np.int64)
        document = store.column("document", start, stop)
        values.update(np.unique(label).tolist())
        if len(values) > MAX_VALUES:
            return f"takes more than {MAX_VALUES} values: expected a label of few"
        same = np.diff(document, prepend=last[0]) == 0
        of_documents &= not bool((same & (np.diff(label, prepend=last[1]) != 0)).any())
        last = (int(document[-1]), int(label[-1]))
    if len(values) < 2:
        return "takes a single value: nothing can be told apart"
    return LabelColumn(name=name, values=tuple(sorted(values)), of_documents=of_documents)
