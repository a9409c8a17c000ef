"""How many features of a dictionary another one has too: another seed, width, layer or step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from interp.dictionaries.evaluation.evaluation import SharedFeatures
from interp.dictionaries.matching import (
    SHARED_AT,
    axes_permuted,
    best_matches,
    directions,
    one_to_one,
    random_directions,
)
from interp.results.errors import Mismatch
from interp.results.intervals import mean_t, wilson

_NULL_FEATURES = 1024
"""Features whose chance matches are looked for, evenly over all."""


def refuse_other_widths(sae: Any, others: Mapping[str, Any]) -> None:
    """Mismatch naming the first of `others` whose features are of another width."""
    if not others:
        return
    own = directions(sae).shape[1]
    for name, other in others.items():
        width = directions(other).shape[1]
        if width != own:
            raise Mismatch(
                f"{name} has features of width {width}, the dictionary of {own}: compare "
                "dictionaries of one site, or of sites of one width"
            )


@torch.no_grad()
def shared_features(
    sae: Any,
    other: Any,
    *,
    name: str,
    fired: Int64[np.ndarray, " d_sae"],
    generator: torch.Generator,
    threshold: float = SHARED_AT,
) -> SharedFeatures:
    """The shared decoder directions, beside those shared with random ones.

    Features of `sae` that were never on (`fired` 0) are left out: they stay where they were
    initialised. Raises Mismatch for decoders of different widths.
    """
    alive = np.flatnonzero(fired > 0)
    own = directions(sae).cpu()[torch.from_numpy(alive)]
    theirs = directions(other).cpu()
    random = random_directions(*theirs.shape, generator=generator)
    permuted = axes_permuted(theirs, generator=generator)
    cosine = best_matches(own, theirs).cosine
    paired = one_to_one(own, theirs).cosine
    few = own[:: max(1, len(own) // _NULL_FEATURES)]
    null, crowded = (best_matches(few, rows).cosine for rows in (random, permuted))
    n = len(alive)
    return SharedFeatures(
        other=name,
        threshold=threshold,
        n_features=n,
        best=wilson(int((cosine >= threshold).sum()), n),
        one_to_one=wilson(int((paired >= threshold).sum()), n),
        mean_cosine=mean_t(cosine[np.isfinite(cosine)].astype(np.float64)),
        null_best=_share(null, threshold),
        null_permuted=_share(crowded, threshold),
        null_mean_cosine=float(np.nanmean(null)) if n else float("nan"),
    )


def _share(cosine: np.ndarray, threshold: float) -> float:
    return float((cosine >= threshold).mean()) if len(cosine) else float("nan")
