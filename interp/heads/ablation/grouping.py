"""What groups of heads cost, beside random groups of the same layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.ablation.asking import AskedBatch, Where, ask
from interp.heads.ablation.matching import Matched
from interp.heads.ablation.replacing import Mode
from interp.heads.ablation.result import MEASURES
from interp.heads.ablation.standins import StandIns
from interp.heads.ablation.statistics import Sequences, Totals, p_of_groups, with_ends
from interp.heads.columns import Head

Condition = tuple[Mode, Where]
DAMAGE = np.array([1.0, -1.0, 1.0])
"""The sign that makes (as it is) - (ablated) damage: of margin, loss and accuracy."""


@dataclass(frozen=True, kw_only=True)
class Ablator:
    """A model with its events and stand-ins: what the events lose without some heads."""

    bridge: TransformerBridge
    batches: Sequence[AskedBatch]
    stand_ins: StandIns
    base: Float[np.ndarray, "measures events"]
    advance: Callable[[int], None]
    """Called with the number of forward passes that were made."""

    def damage(
        self, heads: Sequence[Head], condition: Condition
    ) -> Float[np.ndarray, "measures events"]:
        """By measure and event."""
        mode, where = condition
        number = iter(range(len(self.batches)))

        def edits(batch: AskedBatch):
            return self.stand_ins.edits(
                self.bridge, heads, mode=mode, where=where, batch=batch, number=next(number)
            )

        found = ask(self.bridge, self.batches, self.base.shape[1], edits)
        self.advance(len(self.batches))
        return (self.base - found) * DAMAGE[:, None]


@dataclass(frozen=True, kw_only=True)
class GroupEffects:
    """Arrays as `AblationResult` has them."""

    effect: Float[np.ndarray, "groups conditions measures columns 3"]
    random: Float[np.ndarray, "groups conditions draws measures columns"]
    random_mean: Float[np.ndarray, "groups conditions measures columns 3"]
    over_random: Float[np.ndarray, "groups conditions measures columns 3"]
    p: Float[np.ndarray, "groups conditions measures columns"]


def group_effects(
    ablator: Ablator,
    groups: Mapping[str, Sequence[Head]],
    matched: Mapping[str, Matched],
    conditions: Sequence[Condition],
    *,
    sequences: Sequences,
    times: Float[np.ndarray, "draws documents"],
    seed: int,
) -> GroupEffects:
    """Every group under every condition; a random group that serves two groups is run once."""
    shape = (len(groups), len(conditions), len(MEASURES), sequences.n_columns)
    most = max(len(m.groups) for m in matched.values())
    effect, mean, over = (np.full((*shape, 3), np.nan) for _ in range(3))
    random = np.full((*shape[:2], most, *shape[2:]), np.nan)
    p = np.full(shape, np.nan)
    kept: dict[tuple[tuple[Head, ...], Condition], Totals] = {}

    def totals(heads: Sequence[Head], condition: Condition) -> Totals:
        key = tuple(sorted(heads)), condition
        if key not in kept:
            kept[key] = sequences.totals(ablator.damage(heads, condition))
        return kept[key]

    for g, (name, heads) in enumerate(groups.items()):
        for c, condition in enumerate(conditions):
            own = totals(heads, condition)
            drawn = own.drawn(times)
            effect[g, c] = with_ends(own.mean(), drawn)
            draws = [totals(group, condition) for group in matched[name].groups]
            if not draws:
                continue
            values = np.stack([draw.mean() for draw in draws])
            random[g, c, : len(draws)] = values
            chance = _of_drawn_groups([draw.drawn(times) for draw in draws], seed)
            mean[g, c] = with_ends(values.mean(0), chance)
            over[g, c] = with_ends(own.mean() - values.mean(0), drawn - chance)
            p[g, c] = p_of_groups(own.mean(), values)
    return GroupEffects(effect=effect, random=random, random_mean=mean, over_random=over, p=p)


def n_passes(
    groups: Mapping[str, Sequence[Head]], matched: Mapping[str, Matched], n_conditions: int
) -> int:
    """Passes over the events that `group_effects` makes."""
    every = {tuple(sorted(heads)) for heads in groups.values()}
    return n_conditions * len(every.union(*(m.groups for m in matched.values())))


def _of_drawn_groups(
    values: Sequence[Float[np.ndarray, "draws measures columns"]], seed: int
) -> Float[np.ndarray, "draws measures columns"]:
    """The mean over random groups, which are drawn again too: few groups say little of all."""
    n, draws = len(values), len(values[0])
    share = np.random.default_rng([seed, 3]).multinomial(n, np.full(n, 1 / n), size=draws) / n
    return np.einsum("dg,gdmc->dmc", share, np.stack(values))
