"""SuccessRate: how often an attempt succeeds, estimated finely enough to see rare successes.

Attempts go on until `wanted` successes or a budget: the relative error is then about the same for
a rate of one in two and of one in ten thousand, where a fixed number of attempts would say 0.

    found = until_successes(lambda n: rng.random(n) < 1e-4, wanted=10, budget=1_000_000)
    print(found)        # 0.000098 [0.000049, 0.00019], 10 of 101,238 attempts
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy import stats

from interp.evaluation.items import Item
from interp.results.errors import BadInput
from interp.results.intervals import Interval

Attempt = Callable[[int], Bool[np.ndarray, " n"]]
"""Makes n independent attempts, and says which succeeded."""
_TAIL = 0.025
_ONE_TAIL = 0.05


@dataclass(frozen=True, kw_only=True)
class SuccessRate:
    """Successes among attempts that stopped at `wanted` successes, or when `budget` was spent."""

    successes: int
    attempts: int
    """Attempts up to the one it stopped at; those of the last batch beyond it do not count."""
    wanted: int
    budget: int

    def __post_init__(self) -> None:
        whole = 2 <= self.wanted <= self.budget and 0 <= self.successes <= self.attempts
        stopped = self.successes == self.wanted or self.attempts == self.budget
        if not (whole and stopped and self.successes <= self.wanted):
            raise ValueError(
                f"{self.successes} of {self.attempts} attempts is not where sampling until "
                f"{self.wanted} successes or {self.budget} attempts stops"
            )

    @property
    def reached(self) -> bool:
        """Whether the successes wanted came before the budget was spent."""
        return self.successes == self.wanted

    @property
    def estimate(self) -> float:
        """The unbiased estimate; NaN without a success, where only `bound` says something.

        (r − 1)/(n − 1) when r successes took n attempts (Haldane 1945), successes/budget when they
        did not come: together unbiased whatever the budget (Girshick, Mosteller and Savage 1946),
        counting nothing as 0.
        """
        if self.successes == 0:
            return float("nan")
        if self.reached:
            return (self.wanted - 1) / (self.attempts - 1)
        return self.successes / self.attempts

    @property
    def interval(self) -> Interval:
        """The estimate with an exact 95% interval: coverage is never below it, at any budget.

        Clopper and Pearson's for the stopping rule: outcomes are ordered by how late they come,
        and each end is the rate at which the outcome or one beyond it has probability .025.
        """
        s, n = self.successes, self.attempts
        low = float(stats.beta.ppf(_TAIL, s, n - s + 1)) if s else 0.0
        return Interval(self.estimate, low, self._upper(_TAIL))

    @property
    def bound(self) -> float:
        """One-sided 95% upper bound: the rate at which this outcome or a worse one has p .05.

        By the same order of outcomes as `interval`, with or without a success: 1 − .05^(1/n) for n
        attempts without one, 1 where every attempt succeeded. It is below `interval.high`, which
        leaves .025 on that side.
        """
        return self._upper(_ONE_TAIL)

    def _upper(self, tail: float) -> float:
        failures = self.attempts - self.successes
        # Before its last attempt a sampling that reached r had r − 1 of n − 1.
        more = self.successes if self.reached else self.successes + 1
        return float(stats.beta.ppf(1 - tail, more, failures)) if failures else 1.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; the estimate is null without a success."""
        value, low, high = self.interval
        return asdict(self) | {
            "estimate": value if self.successes else None,
            "low": low,
            "high": high,
            "bound": self.bound,
        }

    def __str__(self) -> str:
        counts = f"{self.successes:,} of {self.attempts:,} attempts"
        if not self.successes:
            return f"below {self.bound:.2g}, {counts}"
        value, low, high = self.interval
        return f"{value:.2g} [{low:.2g}, {high:.2g}], {counts}"


def until_successes(
    attempt: Attempt, *, wanted: int = 10, budget: int = 10_000, batch: int = 100
) -> SuccessRate:
    """The success rate of `attempt`, tried until `wanted` successes or `budget` attempts.

    `attempt(n)` makes n independent attempts at once, `batch` of them or fewer at the end; order
    within a batch is kept, so the batch size changes the cost and not the result's law. With
    `wanted` successes the estimate's relative standard error is about 1/√(wanted − 2). Raises
    BadInput for fewer than 2 successes wanted, or a budget below them.
    """
    if not 2 <= wanted <= budget or batch < 1:
        raise BadInput(
            f"{wanted} successes within {budget} attempts by {batch}: want at least 2, allow as "
            "many attempts, and at least 1 at a time"
        )
    successes = attempts = 0
    while successes < wanted and attempts < budget:
        outcomes = np.asarray(attempt(min(batch, budget - attempts)), dtype=bool)
        counted = successes + np.cumsum(outcomes)
        enough = np.flatnonzero(counted == wanted)
        used = int(enough[0]) + 1 if len(enough) else len(outcomes)
        successes, attempts = int(counted[used - 1]), attempts + used
    return SuccessRate(successes=successes, attempts=attempts, wanted=wanted, budget=budget)


class ItemRate(NamedTuple):
    """The success rate of one item."""

    id: str
    rate: SuccessRate


def item_success_rates(
    model: Any,
    tokenizer: Any,
    items: Sequence[Item],
    *,
    wanted: int = 10,
    budget: int = 10_000,
    batch: int = 100,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[ItemRate]:
    """How often the model, sampled at `temperature`, says each item's answer after its prompt.

    An attempt samples as many tokens as the answer has and succeeds if all are the answer's; what
    would follow is not looked at, as under `Protocol(rule="greedy")`. Raises BadInput for an item
    with no token in its prompt or answer, and for a temperature that is not above 0.
    """
    from interp.evaluation.sampling import answer_attempts

    found = []
    for number, item in enumerate(items):
        attempt = answer_attempts(
            model, tokenizer, item, temperature=temperature, seed=(seed, number)
        )
        rate = until_successes(attempt, wanted=wanted, budget=budget, batch=batch)
        found.append(ItemRate(item.id, rate))
    return found
