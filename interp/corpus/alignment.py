"""Alignment: which token carries which label, by the characters that each was made of."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from interp.corpus.labels import LabelScheme, SpanLabels, Value, WordLabels
from interp.results.errors import BadInput

_WORD = re.compile(r"\S+")


def token_labels(
    label: WordLabels | SpanLabels,
    *,
    name: str,
    scheme: LabelScheme,
    text: str | None,
    offsets: Int[np.ndarray, "n 2"] | None,
    n_tokens: int,
    where: str,
) -> Shaped[np.ndarray, " n"]:
    """The label of every token of one document, -1 (NaN among fractions) where it has none.

    A list with an entry for every word between spaces labels words, one with an entry for every
    token labels tokens (where both fit, each word is a token). A token carries the value of the
    words or spans it overlaps, and none where those differ. Raises BadInput where a list fits
    neither, or a span ends outside of the text.
    """
    if isinstance(label, SpanLabels):
        return _of_spans(label.spans, name, scheme, text, offsets, where)
    words = [] if text is None else [match.span() for match in _WORD.finditer(text)]
    if text is not None and len(label.values) == len(words):
        spans = [(a, b, value) for (a, b), value in zip(words, label.values, strict=True)]
        return _of_spans(spans, name, scheme, text, offsets, where)
    if len(label.values) != n_tokens:
        has = "" if text is None else f"{len(words)} words and "
        raise BadInput(
            f"{where}: label {name!r} has {len(label.values)} entries, and the document has {has}"
            f"{n_tokens} tokens: give one for each, or [start, end, value] in characters"
        )
    return _filled([scheme.coded(value, name, where) for value in label.values], label.values)


def _of_spans(
    spans: Sequence[tuple[int, int, Value | None]],
    name: str,
    scheme: LabelScheme,
    text: str | None,
    offsets: Int[np.ndarray, "n 2"] | None,
    where: str,
) -> Shaped[np.ndarray, " n"]:
    if text is None or offsets is None:
        raise BadInput(
            f"{where}: label {name!r} is of characters, and the document is ready token ids: give "
            "one value for each id"
        )
    outside = [span for span in spans if span[1] > len(text)]
    if outside:
        raise BadInput(
            f"{where}: label {name!r} has the span {outside[0][0]} to {outside[0][1]}, and the "
            f"text has {len(text)} characters"
        )
    # A number for each character: 0 outside of spans, else one for each different value.
    kinds = {value: i + 1 for i, value in enumerate(dict.fromkeys(v for *_, v in spans))}
    of_character = np.zeros(len(text), np.int64)
    for start, stop, value in spans:
        if (of_character[start:stop] > 0).any() and (
            of_character[start:stop] != kinds[value]
        ).any():
            raise BadInput(f"{where}: label {name!r} has spans of different values that overlap")
        of_character[start:stop] = kinds[value]
    values = list(kinds)
    found = [_only(of_character[a:b]) for a, b in offsets.tolist()]
    chosen = [None if kind == 0 else values[kind - 1] for kind in found]
    return _filled([scheme.coded(value, name, where) for value in chosen], values)


def _only(kinds: Int[np.ndarray, " characters"]) -> int:
    """The one kind of the spans that a token overlaps; 0 if it overlaps none, or several kinds."""
    inside = kinds[kinds > 0]
    return int(inside[0]) if len(inside) and (inside == inside[0]).all() else 0


def _filled(
    numbers: Sequence[int | float], values: Sequence[Value | None]
) -> Shaped[np.ndarray, " n"]:
    if any(isinstance(value, float) for value in values):
        found = np.array(numbers, np.float64)
        missing = [number == -1 and not isinstance(number, float) for number in numbers]
        found[np.array(missing, bool)] = np.nan
        return found
    return np.array(numbers, np.int64)
