"""Options of an architecture, fitted to the fields of its sae-lens config or refused by name."""

import math
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from interp.dictionaries.architectures.architecture import Architecture
from interp.results.errors import BadInput

_SET_BY_ARGUMENTS = ("d_in", "d_out", "d_sae", "device", "metadata")
_NESTED_SHARES = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1)
_DTYPES = ("float32", "float64", "bfloat16", "float16")
_MEANT: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a word",
    list[int]: "a list of whole numbers",
    NoneType: "none",
}


def fitted_options(
    architecture: Architecture, d_sae: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options with this architecture's defaults; BadInput names the one that does not fit."""
    hints = get_type_hints(architecture.config_class)
    known = sorted({f.name for f in fields(architecture.config_class)} - set(_SET_BY_ARGUMENTS))
    for name in options:
        if name not in known:
            raise BadInput(unknown(f"option of {architecture.name}", name, known))
    found = {name: _fitted(name, value, hints[name]) for name, value in options.items()}
    if "k" in known:
        found["k"] = _checked_k(found.get("k", min(32, d_sae)), d_sae, whole=hints["k"] is int)
    if "matryoshka_widths" in known:
        found["matryoshka_widths"] = _nested_widths(found.get("matryoshka_widths"), d_sae)
    if architecture.name == "matching_pursuit":
        found.setdefault("decoder_init_norm", 1.0)
    return found


def unknown(what: str, name: str, known: list[str]) -> str:
    """The complaint about a name that does not exist, with the nearest that do."""
    near = get_close_matches(name, known, n=3) or known
    return f"no {what} is called {name!r}: the nearest are {', '.join(near)}."


def _fitted(name: str, value: Any, hint: Any) -> Any:
    """`value` as the field's type; BadInput where it is none of those that the field takes."""
    if name == "normalize_activations":
        # sae-lens takes one more than its annotation says, and refuses the others itself.
        return value
    taken = _DTYPES if name == "dtype" else _alternatives(hint)
    for kind in taken:
        fits, as_kind = _as(value, kind)
        if fits:
            if name == "topk_threshold_lr" and not 0 < as_kind <= 1:
                raise BadInput(f"topk_threshold_lr is {value}: above 0 and at most 1")
            return as_kind
    expected = " or ".join(_MEANT.get(kind, str(kind)) for kind in taken)
    raise BadInput(f"option {name} is {value!r}: expected {expected}.")


def _alternatives(hint: Any) -> list[Any]:
    """The types, or values, that an annotation allows."""
    if get_origin(hint) is list:
        return [hint]
    return list(get_args(hint)) or [hint]


def _as(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether a value is of a kind (a type or one literal value), and the value as that kind."""
    if kind == list[int]:
        listed = list(value) if isinstance(value, (list, tuple)) else [value]
        parts = [_as(entry, int) for entry in listed]
        return all(fits for fits, _ in parts), [entry for _, entry in parts]
    if kind is NoneType:
        return value is None, value
    if kind in (int, float):
        if not isinstance(value, Real) or isinstance(value, bool):
            return False, value
        number = float(value)
        whole = number.is_integer()
        if kind is int:
            return whole, int(number) if whole else value
        return math.isfinite(number), int(number) if isinstance(value, Integral) else number
    if isinstance(kind, type):
        return isinstance(value, kind), value
    return value == kind, value


def _checked_k(k: float | int, d_sae: int, *, whole: bool) -> float | int:
    if not 0 < k <= d_sae:
        raise BadInput(f"k is {k}, expected more than 0 and at most d_sae = {d_sae}.")
    return int(k) if whole else float(k)


def _nested_widths(asked: list[int] | None, d_sae: int) -> list[int]:
    """Widths that end at d_sae: sae-lens would add it too, with a warning."""
    if not asked:
        asked = sorted({max(1, round(share * d_sae)) for share in _NESTED_SHARES})
    if asked[-1] > d_sae:
        raise BadInput(f"matryoshka_widths is {asked}: the widest is at most d_sae = {d_sae}.")
    widths = asked if asked[-1] == d_sae else [*asked, d_sae]
    if len(widths) == 1:
        raise BadInput(
            f"matryoshka_widths is {widths}: one level is plain batchtopk; give narrower ones too."
        )
    return widths
