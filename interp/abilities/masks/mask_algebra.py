"""Masks of one model combined: what is in either, in both, or in the first and not the second."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.support import BitmapWriter, Support, windows
from interp.abilities.units.unit_choice import UnitChoice
from interp.results.errors import Mismatch
from interp.results.provenance import Provenance

Operation = Literal["union", "intersection", "difference"]
_Held = Bool[np.ndarray, "..."]


def combine(first: NeuronMask, second: NeuronMask, operation: Operation) -> NeuronMask:
    """The union, intersection or difference of two masks, as a mask.

    Masks of units of one kind give units (without a score); others, and whole heads, whose shared
    keys may be lost, single entries. Tensors that a mask does not rank hold nothing in it. Raises
    Mismatch for masks of different models.
    """
    if first.base.root != second.base.root:
        raise Mismatch("the two masks belong to different models: they do not combine")
    units = _units(first.units, second.units, _RULES[operation])
    settings = {"locator": operation, "first": first.recipe, "second": second.recipe}
    return NeuronMask(
        tensors=_supports(first, second, operation) if units is None else units.supports(),
        level="entry" if units is None else units.kind,
        recipe=settings,
        base=first.base,
        provenance=Provenance.collect(
            "interp ability overlap",
            model_hash=first.base.root,
            corpus_hash=None,
            seed=None,
            settings=settings,
        ),
        units=units,
    )


_RULES: Mapping[str, Callable[[_Held, _Held], _Held]] = {
    "union": lambda one, two: one | two,
    "intersection": lambda one, two: one & two,
    "difference": lambda one, two: one & ~two,
}


def _supports(first: NeuronMask, second: NeuronMask, operation: Operation) -> dict[str, Support]:
    names = sorted(first.tensors.keys() | second.tensors.keys())
    return {
        name: _combined(first.tensors.get(name), second.tensors.get(name), _RULES[operation])
        for name in names
    }


def _combined(
    one: Support | None, two: Support | None, rule: Callable[[_Held, _Held], _Held]
) -> Support:
    known = one or two
    assert known is not None
    written = BitmapWriter(known.n_entries)
    for start, stop in windows(known.n_entries):
        held = (
            np.zeros(stop - start, bool) if s is None else s.window(start, stop) for s in (one, two)
        )
        written.append(rule(*held))
    return Support.from_bitmap(written.bits, known.shape)


def _units(
    one: UnitChoice | None, two: UnitChoice | None, rule: Callable[[_Held, _Held], _Held]
) -> UnitChoice | None:
    if one is None or two is None or one.kind != two.kind or one.kind == "head":
        return None
    return UnitChoice(
        kind=one.kind,
        layout=one.layout,
        chosen=rule(one.chosen, two.chosen),
        ranked=one.ranked | two.ranked,
        scores=None,
        kv=one.kv,
    )
