"""RetrievalMasking: what is still found in haystacks without some heads, beside random heads."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Head
from interp.results.intervals import Interval
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class RetrievalMasking:
    """Share of every needle that is written: all heads, without the best, without random ones."""

    heads: tuple[Head, ...]
    plain: Float[np.ndarray, " runs"]
    masked: Float[np.ndarray, " runs"]
    random: Float[np.ndarray, "draws runs"]
    """Without as many other heads of the same layers."""
    drop: Interval
    """plain − masked, mean over runs, with its 95% bootstrap over runs."""
    p: float
    """(1 + draws that lose as much) / (1 + draws)."""
    provenance: Provenance
