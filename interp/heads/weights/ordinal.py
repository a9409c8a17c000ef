"""OrdinalClass: things in an order, each one token: days, months, numbers, letters."""

import json
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.results.errors import BadInput

LEAST = 3
"""Members that a class needs: with two, the only other member is always the successor."""

_UNITS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_MONTHS = "January February March April May June July August September October November December"
_RANKS = "first second third fourth fifth sixth seventh eighth ninth tenth"
STANDARD: dict[str, tuple[tuple[str, ...], bool]] = {
    "numbers": (tuple(str(i) for i in range(1, 201)), False),
    "number words": (tuple(_UNITS.split()), False),
    "ranks": (tuple(_RANKS.split()), False),
    "days": (tuple(_DAYS.split()), True),
    "short days": (tuple(day[:3] for day in _DAYS.split()), True),
    "months": (tuple(_MONTHS.split()), True),
    "short months": (tuple(month[:3] for month in _MONTHS.split()), True),
    "letters": (tuple(string.ascii_uppercase), False),
}
"""Name -> members in order, and whether the first follows the last (classes of 2312.09230)."""


@dataclass(frozen=True, kw_only=True)
class OrdinalClass:
    """The members of a class that are one token each, and which of them follow one another."""

    name: str
    tokens: Int[np.ndarray, " members"]
    """Ids, in the order of the class."""
    pairs: Int[np.ndarray, "pairs two"]
    """Indices (member, its successor); both are one token, no step over a member left out."""
    n_members: int
    """Members of the class, those of several tokens included."""


def from_members(
    name: str, members: Iterable[str | int], *, cyclic: bool, token: Callable[[str], int | None]
) -> OrdinalClass | None:
    """The class of those members that are one token; None if too few are for an order.

    `token` gives a word's id, or None if it is not one token. Members that are ids stand as such.
    """
    ids = [token(member) if isinstance(member, str) else int(member) for member in members]
    place = {i: k for k, i in enumerate(i for i, one in enumerate(ids) if one is not None)}
    steps = [(i, (i + 1) % len(ids)) for i in range(len(ids) if cyclic else len(ids) - 1)]
    pairs = [(place[i], place[after]) for i, after in steps if i in place and after in place]
    known = [one for one in ids if one is not None]
    if len(known) < LEAST or len(pairs) < LEAST - 1 or len(set(known)) < len(known):
        return None
    return OrdinalClass(
        name=name, tokens=np.array(known), pairs=np.array(pairs), n_members=len(ids)
    )


def ordinal_classes(
    token: Callable[[str], int | None],
    classes: Mapping[str, Any] | Path | str | None = None,
    *,
    d_vocab: int | None = None,
) -> tuple[OrdinalClass, ...]:
    """The classes that this vocabulary can say in single tokens; none is an empty tuple.

    `classes`: a mapping, or a JSON file of one, name -> members in order (words or token ids), or
    name -> {"members": [...], "cyclic": true}; else the standard ones. A class given by the user
    must have three members or more of one token; a standard one that has not is left out.
    """
    given = read_classes(classes) if classes is not None else STANDARD
    found = []
    for name, (members, cyclic) in given.items():
        _check_ids(name, members, d_vocab)
        one = from_members(name, members, cyclic=cyclic, token=token)
        if one is None and classes is not None:
            raise BadInput(
                f"class {name!r}: fewer than {LEAST} of its {len(members)} members are different "
                "single tokens of this model, two steps apart: give others, or token ids"
            )
        if one is not None:
            found.append(one)
    return tuple(found)


def read_classes(
    classes: Mapping[str, Any] | Path | str,
) -> dict[str, tuple[tuple[str | int, ...], bool]]:
    """Name -> (members, cyclic) of a mapping or a JSON file; BadInput naming the entry at fault."""
    where = "classes" if isinstance(classes, Mapping) else str(classes)
    content = classes if isinstance(classes, Mapping) else _read(Path(classes))
    if not isinstance(content, Mapping) or not content:
        raise BadInput(f"{where}: expected an object of name -> list of members")
    return {str(name): _entry(where, str(name), entry) for name, entry in content.items()}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"no file {path}: give a JSON object of name -> list of members") from error
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} is not JSON: {error}") from error


def _entry(where: str, name: str, entry: Any) -> tuple[tuple[str | int, ...], bool]:
    members = entry.get("members") if isinstance(entry, Mapping) else entry
    cyclic = entry.get("cyclic", False) if isinstance(entry, Mapping) else False
    listed = isinstance(members, list | tuple) and all(_is_member(one) for one in members)
    if not listed or not isinstance(cyclic, bool):
        raise BadInput(
            f"{where}: {name!r} is no list of words or token ids, nor an object of `members` and "
            "`cyclic` (true or false)"
        )
    return tuple(members), cyclic  # pyright: ignore[reportArgumentType]


def _is_member(one: object) -> bool:
    return isinstance(one, str | int) and not isinstance(one, bool)


def _check_ids(name: str, members: Iterable[str | int], d_vocab: int | None) -> None:
    if d_vocab is None:
        return
    beyond = [one for one in members if isinstance(one, int) and not 0 <= one < d_vocab]
    if beyond:
        raise BadInput(f"class {name!r} has token {beyond[0]}: the model has {d_vocab}")
