"""How often each token stands in the rows that were viewed."""

import numpy as np
from jaxtyping import Int

from interp.dictionaries.views.firings import Firings


class TokenCounts:
    """Rows of each token id, in one pass."""

    def __init__(self) -> None:
        self.count: Int[np.ndarray, " ids"] = np.zeros(0, np.int64)

    def update(self, core: Firings) -> None:
        """Count a batch without the rows around it."""
        self._add(np.bincount(core.token, minlength=len(self.count)))

    def merge(self, other: "TokenCounts") -> None:
        """Take in the counts of other rows."""
        self._add(other.count)

    def _add(self, count: np.ndarray) -> None:
        longer, shorter = (
            (count, self.count) if len(count) >= len(self.count) else (self.count, count)
        )
        self.count = longer.astype(np.int64)
        self.count[: len(shorter)] += shorter
