"""From the scores of units to chosen units: exactly a share of all, or drawn at random."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Float32

from interp.abilities.masks.selection import Scope, Selection
from interp.abilities.streaming.topk import count_of_share
from interp.abilities.units.unit_choice import SharedKeys, UnitChoice
from interp.abilities.units.units import Layout
from interp.results.errors import BadInput


def choose_units(
    scores: Float[np.ndarray, "row unit"], *, share: float, scope: Scope, lowest: bool = False
) -> Bool[np.ndarray, "row unit"]:
    """The units with the highest (or lowest) scores, ⌊share · n⌋ of the n that are ranked.

    NaN: not ranked. Minus infinity: ranked, and never among the highest. Ties go to the first by
    layer and index (the last, for the lowest). Under `scope="tensor"` every row is ranked alone.
    """
    if np.isposinf(scores).any():
        raise BadInput("a unit's score is infinite: it cannot be ranked")
    if scope == "tensor":
        rows = [choose_units(r[None], share=share, scope="global", lowest=lowest) for r in scores]
        return np.concatenate(rows) if rows else np.zeros(scores.shape, dtype=bool)
    flat = scores.reshape(-1)
    ranked = np.flatnonzero(~np.isnan(flat))
    count = count_of_share(ranked.size, share)
    if lowest:
        order = ranked[::-1][np.argsort(flat[ranked][::-1], kind="stable")]
    else:
        order = ranked[np.argsort(-flat[ranked], kind="stable")]
        order = order[~np.isneginf(flat[order])]
    chosen = np.zeros(flat.size, dtype=bool)
    chosen[order[:count]] = True
    return chosen.reshape(scores.shape)


def choice_of(
    layout: Layout,
    kind: str,
    scores: Float32[np.ndarray, "row unit"],
    *,
    share: float,
    scope: Scope,
    lowest: bool = False,
    kv: SharedKeys = "strict",
) -> UnitChoice:
    """The units of a kind that `choose_units` takes."""
    if scope == "tensor" and kind in ("layer", "tensor"):
        raise BadInput(f"a share of every layer's units: of {kind}s there is nothing to choose")
    return UnitChoice(
        kind=kind,
        layout=layout,
        chosen=choose_units(scores, share=share, scope=scope, lowest=lowest),
        ranked=~np.isnan(scores),
        scores=scores,
        kv=kv,
    )


def drawn_like(choice: UnitChoice, rng: np.random.Generator) -> UnitChoice:
    """Units drawn at random, as many in every stratum (layer, or type of tensor) as `choice` has.

    Every set of such counts is equally likely.
    """
    chosen = np.zeros(choice.chosen.size, dtype=bool)
    strata = choice.strata().reshape(-1)
    ranked, held = choice.ranked.reshape(-1), choice.chosen.reshape(-1)
    for stratum in np.unique(strata):
        within = np.flatnonzero((strata == stratum) & ranked)
        count = int(held[within].sum())
        chosen[rng.choice(within, size=count, replace=False, shuffle=False)] = True
    return replace(choice, chosen=chosen.reshape(choice.chosen.shape), scores=None)


def selection_of(choice: UnitChoice) -> Selection:
    """A choice of units as the entries it holds, with the lowest score that was chosen."""
    chosen = None if choice.scores is None else choice.scores[choice.chosen]
    border = {} if chosen is None or not chosen.size else {"units": float(chosen.min())}
    return Selection(choice.supports(), border, None, choice)
