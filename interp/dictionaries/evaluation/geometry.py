"""How a dictionary's own directions lie to one another, beside directions drawn at random."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from interp.dictionaries.matching import best_matches, directions, random_directions, unit_rows

_NULL_FEATURES = 1024
"""Random directions whose nearest neighbour is looked for: they are all alike."""


class Geometry(NamedTuple):
    """Cosines of every feature."""

    nearest: Float[np.ndarray, " d_sae"]
    """With the nearest other decoder row; NaN where a row is zero."""
    nearest_null: Float[np.ndarray, " null"]
    """The same of random directions, as many and as wide."""
    encoder_decoder: Float[np.ndarray, " d_sae"]
    """Of encoder column and decoder row; NaN where they have no common space."""


@torch.no_grad()
def geometry(sae: Any, *, generator: torch.Generator) -> Geometry:
    """The cosines of a dictionary's directions."""
    decoder = directions(sae).cpu()
    n, d = decoder.shape
    alike = random_directions(n, d, generator=generator)
    few = min(n, _NULL_FEATURES)
    # The first rows stand for all: skip_self leaves out the row of the same number.
    null = best_matches(alike[:few], alike, skip_self=True).cosine
    return Geometry(
        best_matches(decoder, decoder, skip_self=True).cosine.astype(np.float32),
        null.astype(np.float32),
        _encoder_decoder(sae),
    )


def _encoder_decoder(sae: Any) -> Float[np.ndarray, " d_sae"]:
    decoder = directions(sae).cpu()
    weight = getattr(sae, "W_enc", None)
    if weight is None or weight.shape[0] != decoder.shape[1]:
        return np.full(len(decoder), np.nan, np.float32)
    encoder = directions(sae, "encoder").cpu()
    return (unit_rows(encoder) * unit_rows(decoder)).sum(1).numpy().astype(np.float32)
