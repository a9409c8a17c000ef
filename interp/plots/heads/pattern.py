"""What heads attend to on one text, as a CircuitsVis picture that is safe to open."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Head
from interp.plots.circuitsvis import Picture, attention_heads
from interp.results.errors import BadInput


def head_patterns(
    tokens: Sequence[str],
    pattern: Float[np.ndarray, "n_shown query key"],
    heads: Sequence[Head],
) -> Picture:
    """Attention of the named heads on one text; `interp.heads.attention.patterns_on` reads it.

    Raises BadInput for another number of heads than patterns, and where a picture would be too big.
    """
    if len(heads) != len(pattern):
        raise BadInput(f"{len(heads)} heads and {len(pattern)} patterns: expected one each")
    named = ", ".join(map(str, heads))
    return attention_heads(
        tokens,
        pattern,
        names=[str(head) for head in heads],
        caption=f"attention of {named}: from each token (row) to those before it",
    )
