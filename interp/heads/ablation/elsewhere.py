"""What ablated heads change elsewhere: any measure that gives one number an item."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.ablation.in_context import Measure
from interp.heads.ablation.matching import Matched
from interp.heads.ablation.replacing import Mode, heads_ablated
from interp.heads.ablation.standins import StandIns
from interp.heads.ablation.statistics import p_of_groups, with_ends
from interp.heads.columns import Head

Items = Float[np.ndarray, " items"]


@dataclass(frozen=True, kw_only=True)
class OtherEffects:
    """Arrays as `AblationResult` has them."""

    base: Float[np.ndarray, "others 3"]
    effect: Float[np.ndarray, "groups modes others 3"]
    random: Float[np.ndarray, "groups modes draws others"]
    over_random: Float[np.ndarray, "groups modes others 3"]
    p: Float[np.ndarray, "groups modes others"]


def other_effects(
    bridge: TransformerBridge,
    measures: Mapping[str, Measure],
    groups: Mapping[str, Sequence[Head]],
    matched: Mapping[str, Matched],
    modes: Sequence[Mode],
    *,
    stand_ins: StandIns,
    bootstrap: int,
    seed: int,
    advance: Callable[[int], None],
) -> OtherEffects:
    """Change of every measure with a group replaced at every token, beside random groups."""
    most = max(len(m.groups) for m in matched.values())
    shape = (len(groups), len(modes), len(measures))
    base = np.full((len(measures), 3), np.nan)
    effect, over = (np.full((*shape, 3), np.nan) for _ in range(2))
    random = np.full((*shape[:2], most, len(measures)), np.nan)
    p = np.full(shape, np.nan)
    for o, measure in enumerate(measures.values()):
        changes = _Changes(bridge, measure, stand_ins, seed, advance)
        rng = np.random.default_rng([seed, 23])
        share = _shares(len(changes.plain), bootstrap, rng)
        base[o] = with_ends(changes.plain.mean(keepdims=True), share @ changes.plain[:, None])[0]
        for g, (name, heads) in enumerate(groups.items()):
            for m, mode in enumerate(modes):
                own = changes.of(heads, mode)
                drawn = share @ own[:, None]
                effect[g, m, o] = with_ends(own.mean(keepdims=True), drawn)[0]
                if not matched[name].groups:
                    continue
                values = np.stack([changes.of(group, mode) for group in matched[name].groups])
                means = values.mean(1)
                random[g, m, : len(means), o] = means
                of_groups = _shares(len(means), bootstrap, rng)
                chance = (of_groups * (share @ values.T)).sum(1, keepdims=True)
                gap = own.mean(keepdims=True) - means.mean()
                over[g, m, o] = with_ends(gap, drawn - chance)[0]
                p[g, m, o] = p_of_groups(np.abs(own.mean(keepdims=True)), np.abs(means)[:, None])[0]
    return OtherEffects(base=base, effect=effect, random=random, over_random=over, p=p)


class _Changes:
    """One measure under ablation, less what it is without; each group of heads is run once."""

    def __init__(
        self,
        bridge: TransformerBridge,
        measure: Measure,
        stand_ins: StandIns,
        seed: int,
        advance: Callable[[int], None],
    ) -> None:
        self._bridge, self._measure, self._seed, self._advance = bridge, measure, seed, advance
        self._values = {"means": stand_ins.means["all"], "rows": stand_ins.rows["all"]}
        self._kept: dict[tuple[tuple[Head, ...], Mode], Items] = {}
        self.plain = self._read()

    def of(self, heads: Sequence[Head], mode: Mode) -> Items:
        """The change of every item."""
        key = tuple(heads), mode
        if key not in self._kept:
            with heads_ablated(self._bridge, heads, mode, **self._values, seed=self._seed):
                self._kept[key] = self._read() - self.plain
        return self._kept[key]

    def _read(self) -> Items:
        values = np.asarray(self._measure(self._bridge), dtype=np.float64)
        self._advance(1)
        return values


def _shares(n: int, draws: int, rng: np.random.Generator) -> Float[np.ndarray, "draws _"]:
    """How much each of `n` counts in every bootstrap draw."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
