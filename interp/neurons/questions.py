"""Questions: label codes to yes-or-no functions, one against the rest, each on rows of its own."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8

from interp.neurons.functions import Exchanged, Function
from interp.results.errors import BadInput

Chance = Literal["balance", "normalise"]
"""How a share of positives that is not one half is kept from raising the score: rows of the larger
class are left out, or average precision is counted from its expectation."""
MAX_VALUES = 256
_EVEN = (0.45, 0.55)


class Question(NamedTuple):
    """A function before its rows are chosen."""

    name: str
    group: str
    labels: Int8[np.ndarray, " rows"]


class Split(NamedTuple):
    """A second label, by whose values rows are parted."""

    name: str
    codes: Int[np.ndarray, " rows"]
    values: Sequence[str] | None

    def named(self, code: int) -> str:
        """A value as shown."""
        return str(code) if self.values is None else self.values[code]


def questions(
    codes: Int[np.ndarray, " rows"],
    *,
    name: str,
    values: Sequence[str] | None,
    within: Split | None = None,
    group: Split | None = None,
) -> Iterator[Question]:
    """The yes-or-no questions that a label of integer codes asks; -1 is no answer.

    Two values ask one question, whose positives are the larger; more ask one for each value against
    the rest. `within` asks each among the rows of one of its values at a time, and `group` says
    which function those are parts of. Raises BadInput where a label has one value only or too many.
    """
    if within is None:
        yield from _of_label(codes, name, values, label=name)
        return
    for value in np.unique(within.codes[within.codes != -1]).tolist():
        inside = within.codes == value
        part = within.named(value)
        belongs = within.name if group is None else _group_of(group, inside & (codes != -1), part)
        for question in _of_label(np.where(inside, codes, -1), part, values, label=name):
            yield question._replace(group=belongs)


def _of_label(
    codes: Int[np.ndarray, " rows"], name: str, values: Sequence[str] | None, *, label: str
) -> Iterator[Question]:
    found = np.unique(codes[codes != -1]).tolist()
    called = f"label {label!r}" if label == name else f"label {label!r} within {name!r}"
    if len(found) < 2:
        only = f"the value {_shown(found[0], values)!r}" if found else "no value"
        raise BadInput(f"{called} has {only} only: a function needs rows of two classes")
    if len(found) > MAX_VALUES:
        raise BadInput(
            f"{called} takes {len(found):,} values: expected at most {MAX_VALUES} that name classes"
        )
    asked = found[1:] if len(found) == 2 else found
    for value in asked:
        binary = found == [0, 1] and values is None
        full = name if binary else f"{name}={_shown(value, values)}"
        labels = np.where(codes == -1, -1, codes == value).astype(np.int8)
        yield Question(full, name, labels)


def _shown(code: int, values: Sequence[str] | None) -> str:
    return str(code) if values is None else values[code]


def _group_of(group: Split, rows: Bool[np.ndarray, " rows"], part: str) -> str:
    found = np.unique(group.codes[rows]).tolist()
    if len(found) != 1 or found == [-1]:
        raise BadInput(
            f"{part!r} must belong to one {group.name!r}, and its rows have {len(found)} values"
        )
    return group.named(found[0])


def with_rows(
    question: Question,
    *,
    chance: Chance | None,
    per_class: int | None,
    seed: int,
    identity: bytes,
    exchanged: Exchanged,
) -> tuple[Function, Int8[np.ndarray, " rows"]]:
    """The function and its labels, with -1 on the rows that balancing leaves out.

    `identity` says which rows they are, for the hash. The draw depends on the seed and the name
    alone. Raises BadInput where `chance` is None and less than .45 or more than .55 are positive.
    """
    positive = np.flatnonzero(question.labels == 1)
    negative = np.flatnonzero(question.labels == 0)
    share = len(positive) / (len(positive) + len(negative))
    if chance is None and not _EVEN[0] <= share <= _EVEN[1]:
        raise BadInput(
            f"{question.name!r} is positive on {share:.3f} of its rows, which alone gives an "
            "average precision far from one half: balance the classes or normalise by chance"
        )
    kept = question.labels
    if chance == "balance":
        n = min(len(positive), len(negative), per_class or len(positive))
        rng = generator_of(seed, question.name, "rows")
        kept = np.full(len(question.labels), -1, np.int8)
        kept[rng.choice(positive, n, replace=False)] = 1
        kept[rng.choice(negative, n, replace=False)] = 0
    n_positive, n_negative = int((kept == 1).sum()), int((kept == 0).sum())
    return Function(
        name=question.name,
        group=question.group,
        n_positive=n_positive,
        n_negative=n_negative,
        balanced=chance == "balance",
        n_left_out=len(positive) + len(negative) - n_positive - n_negative,
        rows_sha256=sha256(identity + kept.tobytes()).hexdigest(),
        exchanged=exchanged,
    ), kept


def generator_of(seed: int, name: str, use: str) -> np.random.Generator:
    """Draws for one function and use, the same whatever other functions there are."""
    digest = sha256(f"interp.neurons/{seed}/{use}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
