"""From what was measured to the arrays of a DictionaryEvaluation, and what the table says."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.evaluation.measures import MEASURES
from interp.results.intervals import Interval, mean_t


class Measured(NamedTuple):
    """Measures of one contestant, and what is behind them."""

    intervals: dict[str, Interval]
    n: dict[str, int]


def measured(*groups: tuple[Mapping[str, Interval], int]) -> Measured:
    """Groups of measures, each with its n, as one."""
    intervals = {key: interval for group, _ in groups for key, interval in group.items()}
    return Measured(intervals, {key: n for group, n in groups for key in group})


def arrays(
    found: Sequence[Measured],
) -> tuple[tuple[str, ...], dict[str, Float[np.ndarray, "contestants measures"]]]:
    """The measures that any contestant has, in the order of the table, and their arrays."""
    keys = tuple(key for key in MEASURES if any(key in each.intervals for each in found))
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    cells = [[each.intervals.get(key, nothing) for key in keys] for each in found]
    ends = np.array(cells, np.float64).reshape(len(found), len(keys), 3)
    n = [[each.n.get(key, 0) for key in keys] for each in found]
    counts = np.array(n, np.int64).reshape(len(found), len(keys))
    counts[np.isnan(ends[..., 0])] = 0
    return keys, {"value": ends[..., 0], "low": ends[..., 1], "high": ends[..., 2], "n": counts}


def mean_over_features(values: Float[np.ndarray, " d_sae"]) -> Interval:
    """Mean of the finite values with Student's 95% interval over features."""
    return mean_t(values[np.isfinite(values)].astype(np.float64))


def facts(card: DictionaryCard, weights_sha256: str) -> dict[str, object]:
    """What the header of a finding says of the dictionary."""
    names = ("architecture", "training_architecture", "d_in", "d_out", "d_sae", "site", "site_out")
    more = ("model", "model_hash", "n_training_tokens", "seed")
    known = {name: getattr(card, name) for name in (*names, *more)}
    return {**known, "weights_sha256": weights_sha256}


def comparisons(titles: Sequence[str], found: Sequence[Measured]) -> list[str]:
    """Which baselines keep as much as the dictionary, measure by measure."""
    said = []
    for key in ("explained_variance", "loss_recovered"):
        own = found[0].intervals.get(key)
        if own is None or np.isnan(own.value):
            continue
        for title, each in zip(titles[1:], found[1:], strict=True):
            other = each.intervals.get(key)
            if other is not None and other.value >= own.low:
                how = "more than" if other.low > own.high else "as much as"
                said.append(
                    f"{title}: {MEASURES[key].title} {other.value:.3f}, {how} the dictionary's "
                    f"{own.value:.3f} [{own.low:.3f}, {own.high:.3f}]"
                )
    return said
