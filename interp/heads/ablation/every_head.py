"""Every head by itself: its effect to first order, and for some of them exactly."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.corpus.relations import RelationCorpus
from interp.heads.ablation.corrupting import SIDES
from interp.heads.ablation.events import Events
from interp.heads.ablation.grouping import Ablator
from interp.heads.ablation.matching import united
from interp.heads.ablation.plan import Plan
from interp.heads.ablation.single import (
    ablated,
    attributed,
    corruption_of,
    nothing,
    on_grid,
    patched,
    stronger,
    to_try,
)
from interp.heads.ablation.statistics import Sequences
from interp.heads.columns import Head

Grid = Float[np.ndarray, "layers heads columns 3"]


class SingleEffects(NamedTuple):
    """Fields of `AblationResult`."""

    corruption: str
    corruption_drop: Float[np.ndarray, "sides columns 3"]
    attributed: Grid
    patched: Grid
    ablated: Grid

    def effects(self) -> dict[str, Grid]:
        """The three kinds of effect, by name."""
        return {"attributed": self.attributed, "patched": self.patched, "ablated": self.ablated}


def single_effects(
    ablator: Ablator,
    corpus: RelationCorpus,
    events: Events,
    plan: Plan,
    *,
    groups: Mapping[str, Sequence[Head]],
    sequences: Sequences,
    times: Float[np.ndarray, "draws documents"],
) -> SingleEffects:
    """All heads by attribution under the corruption that the margin feels most, some exactly."""
    bridge, batches, margin = ablator.bridge, ablator.batches, ablator.base[0]
    shape, n_columns = (bridge.cfg.n_layers, bridge.cfg.n_heads), sequences.n_columns
    tried = {
        side: corruption_of(
            bridge,
            corpus,
            events,
            batches,
            margin,
            side=side,
            seed=plan.seed,
            bootstrap=plan.bootstrap,
        )
        for side in SIDES
        if plan.corruption in ("auto", side)
    }
    none = np.full((n_columns, 3), np.nan)
    drop = [none if (one := tried.get(side)) is None else one.drop for side in SIDES]
    best = stronger(tried.values())
    first = patching = nothing(shape, n_columns)
    if best is not None:
        first = attributed(bridge, corpus, batches, best, advance=ablator.advance)
    heads = to_try(
        first[..., 0, 0],
        exact=plan.exact,
        also=united(groups.values()),
        rng=np.random.default_rng([plan.seed, 5]),
    )
    if best is not None:
        exact = patched(bridge, batches, best, heads, margin, advance=ablator.advance)
        patching = on_grid(exact, heads, shape, n_columns)
    alone = ablated(ablator, heads, plan.conditions[0], sequences=sequences, times=times)
    return SingleEffects(
        corruption=best.corrupted.side if best else "nothing",
        corruption_drop=np.stack(drop),
        attributed=first,
        patched=patching,
        ablated=on_grid(alone, heads, shape, n_columns),
    )
