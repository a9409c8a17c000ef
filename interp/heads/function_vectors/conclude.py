"""From indirect effects to HeadScores: one column over all tasks and, of several, one a task."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from jaxtyping import Float

from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.function_vectors.effects import Settings, TaskEffects
from interp.heads.scores import HeadScores
from interp.heads.significance import adjusted_by_size


def conclude(
    detector: Detector, scoring: Scoring, effects: Sequence[TaskEffects], settings: Settings
) -> HeadScores:
    """Average indirect effects beside those of shuffled donors; a draw is one shuffle of all.

    p_adj is by the size of the effect above its head's mean and not by z, since draws are few.
    """
    groups = {detector.name: list(effects)}
    if len(effects) > 1:
        groups |= {f"{detector.name}:{one.prompts.name}": [one] for one in effects}
    means = np.stack([_mean(g, "probability") for g in groups.values()], axis=-1)
    logs = np.stack([_mean(g, "log_probability") for g in groups.values()], axis=-1)
    rng = scoring.rng(f"{detector.name}/bootstrap")
    ends = [_interval(group, rng, scoring.bootstrap) for group in groups.values()]
    n = [sum(one.probability.shape[-1] for one in group) for group in groups.values()]
    found = concluded(
        detector,
        scoring,
        observed=means[0],
        draws=means[1:],
        columns=[detector.column(name) for name in groups],
        interval=np.stack(ends, axis=-1),
        n_events=np.broadcast_to(np.array(n, dtype=np.float64), means[0].shape),
        n_sequences=np.broadcast_to(np.array(n, dtype=np.float64), means[0].shape),
        extras={
            "log_probability": logs[0],
            "log_probability_by_chance": logs[1:].mean(axis=0),
            "log_probability_p_adj": adjusted_by_size(logs[0], logs[1:]),
        },
        notes={
            name: {"tasks": [one.prompts.name for one in group]} for name, group in groups.items()
        },
        settings=asdict(settings),
        more_draws="a larger donor_draws",
    )
    return replace(found, p_adj=adjusted_by_size(means[0], means[1:]))


def _mean(
    effects: Sequence[TaskEffects], measure: str
) -> Float[np.ndarray, "donors n_layers n_heads"]:
    return np.mean([getattr(one, measure).mean(axis=-1) for one in effects], axis=0)


def _interval(
    effects: Sequence[TaskEffects], rng: np.random.Generator, draws: int
) -> Float[np.ndarray, "2 n_layers n_heads"]:
    """95% percentile bootstrap over the prompts of each task; the tasks stay."""
    total = np.zeros((draws, *effects[0].probability.shape[1:3]))
    for one in effects:
        n = one.probability.shape[-1]
        weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
        total += np.einsum("bt,lht->blh", weights, one.probability[0])
    return np.quantile(total / len(effects), [0.025, 0.975], axis=0)
