"""PairedTest: whether two models differ on the same items."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from interp.results.intervals import Interval, paired_bootstrap
from interp.results.paired_shares import newcombe_paired
from interp.results.significance import mcnemar, smallest_mcnemar_p


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """One model against another in one column of a comparison, over the same items."""

    first: str
    second: str
    column: str
    n: int
    only_first: int
    """Items that the first model alone gets right."""
    only_second: int
    difference: Interval
    """Share right of the first minus the second, items pooled; Newcombe's paired 95% interval."""
    bootstrap: Interval
    """The same difference with the percentile bootstrap over items."""
    p: float
    """Exact two-sided McNemar; cannot go below 2^(1 − only_first − only_second)."""
    p_holm: float
    """Adjusted for all tests of the comparison (Holm 1979)."""

    @property
    def smallest_p(self) -> float:
        """The smallest p these items could give: where it is .05 or more, none could be found."""
        return smallest_mcnemar_p(self.only_first + self.only_second)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return dict(self.__dict__) | {
            "difference": list(self.difference),
            "bootstrap": list(self.bootstrap),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PairedTest":
        """The inverse of `to_json`."""
        intervals: dict[str, Any] = {
            name: Interval(*content[name]) for name in ("difference", "bootstrap")
        }
        return cls(**(content | intervals))


def paired_test(
    first: Bool[np.ndarray, " items"],
    second: Bool[np.ndarray, " items"],
    *,
    names: tuple[str, str],
    column: str,
    rng: np.random.Generator,
) -> PairedTest:
    """Compare two models on the same items. `p_holm` is p until `Holm` is applied to a family."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    p = mcnemar(only_first, only_second)
    return PairedTest(
        first=names[0],
        second=names[1],
        column=column,
        n=len(first),
        only_first=only_first,
        only_second=only_second,
        difference=newcombe_paired(both, only_first, only_second, neither),
        bootstrap=paired_bootstrap(first, second, rng=rng),
        p=p,
        p_holm=p,
    )
