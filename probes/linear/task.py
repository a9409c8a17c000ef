"""Task: the rows of every side that have a class which every side has."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput
from probes.linear.sides import Asked, Part, parts

MAX_CLASSES = 256


class Task(NamedTuple):
    """The rows of every side, and their classes numbered from 0."""

    parts: dict[str, Part]
    classes: dict[str, Int[np.ndarray, " rows"]]
    names: tuple[str, ...]
    left_out: tuple[str, ...]


def task_of(store: ActivationStore, asked: Asked) -> Task:
    """What was asked of the store. Raises BadInput with fewer than two classes, or too many."""
    dealt = parts(store, asked)
    known = [np.unique(part.codes) for part in dealt.values()]
    everywhere = np.intersect1d(np.intersect1d(known[0], known[1]), known[2])
    anywhere = np.unique(np.concatenate(known))
    values = store.label_values(asked.label)
    shown = {code: str(code) if values is None else values[code] for code in anywhere.tolist()}
    if len(everywhere) < 2:
        raise BadInput(
            f"label {asked.label!r} has {len(everywhere)} class with rows to train, validate and "
            f"test ({len(anywhere)} in all): a probe needs two"
        )
    if len(everywhere) > MAX_CLASSES:
        raise BadInput(
            f"label {asked.label!r} has {len(everywhere)} classes: at most {MAX_CLASSES} are probed"
        )
    kept = {side: _only(part, everywhere) for side, part in dealt.items()}
    classes = {side: np.searchsorted(everywhere, part.codes) for side, part in kept.items()}
    rare = np.setdiff1d(anywhere, everywhere).tolist()
    names = tuple(shown[code] for code in everywhere.tolist())
    return Task(kept, classes, names, tuple(shown[code] for code in rare))


def _only(part: Part, classes: Int[np.ndarray, " classes"]) -> Part:
    unit = np.isin(part.codes, classes)
    row = unit[part.unit_of]
    renumbered = np.cumsum(unit) - 1
    return Part(
        part.rows[row],
        renumbered[part.unit_of[row]],
        part.codes[unit],
        part.types[unit],
        part.groups[unit],
    )
