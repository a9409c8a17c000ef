"""Labels of a document: one value throughout, one a word or token, or one a span of characters.

A value is a number or a string; strings become integers by the sorted values of the whole source,
which are kept beside them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from interp.results.errors import BadInput

Value = int | float | str
MAX_STRINGS = 65_536


class WordLabels(NamedTuple):
    """A value for every word, or every token; None where there is none."""

    values: tuple[Value | None, ...]


class SpanLabels(NamedTuple):
    """Values of spans of characters: first, the one after the last, and the value."""

    spans: tuple[tuple[int, int, Value | None], ...]


Label = Value | WordLabels | SpanLabels


def label_of(value: Any, name: str, where: str) -> Label:
    """The label in one field of an entry; BadInput with its place if it is none."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return _value(value, name, where)
    if any(isinstance(item, list | tuple | np.ndarray | Mapping) for item in value):
        return SpanLabels(tuple(_span(item, name, where) for item in value))
    values = (None if item is None else _value(item, name, where) for item in value)
    return WordLabels(tuple(values))


def int64(value: Any, what: str) -> int:
    """`value` as an integer of 64 bits; BadInput if it is larger."""
    if not -(2**63) <= int(value) < 2**63:
        raise BadInput(f"{what} is beyond the 64 bits of an integer: {str(value)[:40]}")
    return int(value)


def _value(value: Any, name: str, where: str) -> Value:
    if isinstance(value, bool | int | np.integer | np.bool_):
        return int64(value, f"{where}: label {name!r}")
    if isinstance(value, float | np.floating):
        return float(value)
    if isinstance(value, str):
        return value
    raise BadInput(
        f"{where}: label {name!r} is {value!r}, a number, a string, a list of them, or a list of "
        "[start, end, value] was expected"
    )


def _span(item: Any, name: str, where: str) -> tuple[int, int, Value | None]:
    parts = list(item) if isinstance(item, list | tuple | np.ndarray) else []
    whole = len(parts) == 3 and all(isinstance(p, int | np.integer) for p in parts[:2])
    if not whole or not 0 <= parts[0] < parts[1]:
        raise BadInput(
            f"{where}: label {name!r} holds the span {item!r}: [start, end, value] was expected, "
            "in characters, with start below end"
        )
    value = None if parts[2] is None else _value(parts[2], name, where)
    return int(parts[0]), int(parts[1]), value


@dataclass(frozen=True, kw_only=True)
class LabelScheme:
    """The labels of a source, and what their integers stand for."""

    names: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The strings of each label that has them, sorted; their places are the codes."""

    @cached_property
    def _codes(self) -> dict[str, dict[str, int]]:
        return {n: {value: i for i, value in enumerate(v)} for n, v in self.values.items()}

    def coded(self, value: Value | None, name: str, where: str) -> int | float:
        """A value as a number, -1 for None.

        Raises BadInput for a string of a source that was not read beforehand, or a number where
        other values are strings.
        """
        if value is None:
            return -1
        known = self._codes.get(name)
        if isinstance(value, str):
            if known is None:
                raise BadInput(
                    f"{where}: label {name!r} is the string {value!r}, and the values of a stream "
                    "cannot be known before it is read: write numbers, or read it from a file"
                )
            return known[value]
        if known is not None:
            raise BadInput(f"{where}: label {name!r} is {value!r}, and a string elsewhere")
        return value


class LabelScan:
    """Collects the strings of a source's labels, document by document."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._strings: dict[str, set[str]] = {name: set() for name in names}

    def add(self, labels: Iterable[Label], where: str) -> None:
        """Take in one document's labels. Raises BadInput where there are too many strings."""
        for name, label in zip(self._names, labels, strict=True):
            strings = self._strings[name]
            strings.update(value for value in _values(label) if isinstance(value, str))
            if len(strings) > MAX_STRINGS:
                raise BadInput(
                    f"{where}: label {name!r} takes more than {MAX_STRINGS:,} different strings: "
                    "expected values that name classes"
                )

    def finish(self) -> LabelScheme:
        """The scheme of the documents seen."""
        return merged_scheme(
            self._names, [{n: tuple(sorted(s)) for n, s in self._strings.items() if s}]
        )


def merged_scheme(
    names: tuple[str, ...], values: Iterable[Mapping[str, tuple[str, ...]]]
) -> LabelScheme:
    """The scheme of several sources read as one."""
    union: dict[str, set[str]] = {}
    for one in values:
        for name, strings in one.items():
            union.setdefault(name, set()).update(strings)
    return LabelScheme(names=names, values={n: tuple(sorted(s)) for n, s in union.items()})


def _values(label: Label) -> Iterable[Value | None]:
    if isinstance(label, WordLabels):
        return label.values
    if isinstance(label, SpanLabels):
        return (value for _, _, value in label.spans)
    return (label,)
