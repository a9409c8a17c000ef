"""Overlap of two masks, against what masks of the same counts share by chance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, isfinite, log
from typing import Any

import numpy as np

from interp.abilities.masks.chance import ChanceTest, Stratum, chance_test
from interp.abilities.masks.mask import NeuronMask
from interp.results.errors import Mismatch


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What two masks of one model share: entries, or units if both hold units of one kind."""

    of: str
    """entry, or the kind of unit."""
    n: int
    """Entries or units that both masks rank."""
    first: int
    """Of those, in the first mask."""
    second: int
    shared: int
    share_of_smaller: float
    """Shared over those of the smaller mask, NaN for an empty one."""
    jaccard: float
    """Shared over those of either mask, NaN if both are empty."""
    odds_ratio: float
    """Mantel and Haenszel's over the strata: 1 by chance, NaN or infinite without a contrast."""
    stratified: ChanceTest
    """Counts kept in every tensor, of units in every layer or type of tensor."""
    plain: ChanceTest | None
    """Counts kept over all; None for entries, of which there are so many that any is unlikely."""

    @property
    def expected(self) -> float:
        """Shared by chance, with each mask's count kept in every stratum."""
        return self.stratified.expected

    @property
    def standard_deviation(self) -> float:
        """Of that chance."""
        return self.stratified.standard_deviation

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, None for what is NaN or infinite."""
        numbers = {
            key: value if not isinstance(value, float) or isfinite(value) else None
            for key, value in asdict(self).items()
            if key not in ("stratified", "plain")
        }
        return {
            **numbers,
            "expected": self.expected,
            "standard_deviation": self.standard_deviation,
            "stratified": _test_json(self.stratified),
            "plain": None if self.plain is None else _test_json(self.plain),
        }


def overlap(first: NeuronMask, second: NeuronMask) -> Overlap:
    """What two masks of one model share, and how likely chance gives as much or as little.

    Masks of units of one kind are compared by units; others by entries. In a tensor, or a layer, of
    N with a and b chosen the shared number is hypergeometric; these add up (`chance_test`). Tensors
    that only one mask ranks share nothing. Entries of a mask that lies in whole rows are no
    independent draws: a small p says that scattered entries would not share as much, no more.
    Raises Mismatch for masks of different models.
    """
    if first.base.root != second.base.root:
        raise Mismatch("the two masks belong to different models: their entries do not compare")
    units = _unit_strata(first, second)
    strata = _entry_strata(first, second) if units is None else units
    whole = Stratum(*(sum(s[part] for s in strata) for part in range(4)))
    return _overlap(
        "entry" if units is None or first.units is None else first.units.kind,
        strata,
        whole=whole,
        sizes=_sizes(first, second, by_units=units is not None),
        plain=units is not None,
    )


def adjusted(overlaps: Sequence[Overlap]) -> list[float]:
    """log p of sharing more than chance, stratified, Holm (1979) over all the pairs."""
    log_p = np.array([o.stratified.log_p_more for o in overlaps])
    order = np.argsort(log_p, kind="stable")
    steps = np.maximum.accumulate(log_p[order] + np.log(len(log_p) - np.arange(len(log_p))))
    held = np.empty(len(log_p))
    held[order] = np.minimum(steps, 0.0)
    return held.tolist()


def _overlap(
    of: str,
    strata: Sequence[Stratum],
    *,
    whole: Stratum,
    sizes: tuple[int, int],
    plain: bool,
) -> Overlap:
    either = sum(sizes) - whole.shared
    return Overlap(
        of=of,
        n=whole.n,
        first=whole.first,
        second=whole.second,
        shared=whole.shared,
        share_of_smaller=whole.shared / min(sizes) if min(sizes) else float("nan"),
        jaccard=whole.shared / either if either else float("nan"),
        odds_ratio=_odds_ratio(strata),
        stratified=chance_test(strata),
        plain=chance_test([whole]) if plain else None,
    )


def _sizes(first: NeuronMask, second: NeuronMask, *, by_units: bool) -> tuple[int, int]:
    if by_units and first.units is not None and second.units is not None:
        return first.units.count, second.units.count
    return first.count, second.count


def _entry_strata(first: NeuronMask, second: NeuronMask) -> list[Stratum]:
    """A stratum a tensor that both masks rank."""
    return [
        Stratum(
            first.tensors[name].n_entries,
            first.tensors[name].count,
            second.tensors[name].count,
            first.tensors[name].shared_with(second.tensors[name]),
        )
        for name in sorted(first.tensors.keys() & second.tensors.keys())
    ]


def _unit_strata(first: NeuronMask, second: NeuronMask) -> list[Stratum] | None:
    """A stratum a layer (of tensors, a type); None unless both hold units of one kind."""
    one, two = first.units, second.units
    if one is None or two is None or one.kind != two.kind:
        return None
    ranked, strata = one.ranked & two.ranked, one.strata()
    numbers = [one.chosen & ranked, two.chosen & ranked, one.chosen & two.chosen & ranked]
    return [
        Stratum(int(within.sum()), *(int(part[within].sum()) for part in numbers))
        for stratum in np.unique(strata[ranked])
        for within in [ranked & (strata == stratum)]
    ]


def _odds_ratio(strata: Sequence[Stratum]) -> float:
    """Σ (both · neither / N) / Σ (only first · only second / N): Mantel and Haenszel 1959."""
    same = sum(s.shared * (s.n - s.first - s.second + s.shared) / s.n for s in strata if s.n)
    apart = sum((s.first - s.shared) * (s.second - s.shared) / s.n for s in strata if s.n)
    if apart:
        return same / apart
    return float("inf") if same else float("nan")


def _test_json(test: ChanceTest) -> dict[str, Any]:
    """The test as JSON: p, and its decimal logarithm for what is too small to be a float."""
    logs = {"p_more": test.log_p_more, "p_less": test.log_p_less, "min_p": test.log_min_p}
    return {
        "shared": test.shared,
        "expected": test.expected,
        "standard_deviation": test.standard_deviation,
        "n_strata": test.n_strata,
        "exact": test.exact,
        **{name: exp(value) for name, value in logs.items()},
        **{f"log10_{name}": value / log(10) for name, value in logs.items()},
    }
