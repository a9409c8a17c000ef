"""HeadBatch: some sequences as a model is fed them, and which of their tokens count."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int


@dataclass(frozen=True, kw_only=True)
class HeadBatch:
    """Sequences padded on one side, with what a detector must know of each token."""

    tokens: Int[np.ndarray, "batch pos"]
    attention_mask: Bool[np.ndarray, "batch pos"]
    """False on padding, which is neither query nor key."""
    is_query: Bool[np.ndarray, "batch pos"]
    """Where a query counts: text, not padding, not BOS (BOS as a key is real attention)."""
    sequence: Int[np.ndarray, " batch"]
    """Running number of each sequence in its corpus."""
    period: Int[np.ndarray, " batch"] | None = None
    """Tokens of one repeat, where sequences are random and repeated: the tokens of one repeat are
    different, and positions before `start + period` have no earlier copy."""
    start: int = 0
    """Of random sequences: 1 where BOS stands in front."""
    detail: Any = field(default=None, compare=False)
    """What the source adds: the sequences of a RelationBatch."""

    @property
    def size(self) -> int:
        """Sequences in the batch."""
        return len(self.tokens)
