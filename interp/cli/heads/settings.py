"""NAME=VALUE settings of detectors that have many, checked by name and kind."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from interp.results.errors import BadInput


def settings_from(given: Sequence[str]) -> dict[str, Any]:
    """`n_shots=5`, `template=TEXT`, `lengths=[512,1024]` as options of `score_heads`.

    A value is JSON, or text where it is none; `\\n` in text is a line's end. Raises BadInput for a
    name that no detector has, and for a value of another kind.
    """
    from interp.heads.function_vectors.effects import Settings as FunctionVector
    from interp.heads.retrieval.run import Settings as Retrieval

    known = {f.name: str(f.type) for kind in (FunctionVector, Retrieval) for f in fields(kind)}
    del known["seed"]
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in known:
            raise BadInput(f"--set {one}: expected NAME=VALUE with one of {', '.join(known)}")
        found[name] = _read(name, value, known[name])
    return found


def _read(name: str, value: str, kind: str) -> Any:
    if "str" in kind:
        return value.replace("\\n", "\n")
    try:
        read = json.loads(value)
    except ValueError as error:
        raise BadInput(f"--set {name}={value}: expected a number or a list of them") from error
    several = "tuple" in kind
    numbers = read if isinstance(read, list) else [read]
    wanted = (int, float) if "float" in kind else (int,)
    right = all(isinstance(n, wanted) and not isinstance(n, bool) for n in numbers)
    if not right or not numbers or (isinstance(read, list) and not several):
        what = "numbers, as [1,2]" if several else "one whole number"
        raise BadInput(f"--set {name}={value}: expected {what}")
    return tuple(numbers) if several else read
