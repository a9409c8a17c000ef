"""AblationResult: what a relation's answers lose without some heads, and without random ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from interp.heads.ablation.table import EVERY, as_html, as_text
from interp.heads.columns import Head
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.head-ablation/1"
MEASURES = ("margin", "loss", "accuracy")
_ARRAYS = (
    *("base", "effect", "random", "random_mean", "over_random", "p", "n_events", "n_sequences"),
    *("attributed", "patched", "ablated", "score", "correlation", "corruption_drop"),
    *("other_base", "other_effect", "other_random", "other_over_random", "other_p"),
)
EFFECTS = ("attributed", "patched", "ablated")


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """Damage by heads that were replaced: higher is more, under every measure.

    Measures are the drop of the tail's margin (its logit less the mean logit of the controls), the
    rise of the loss at the same positions in nats, and the drop of the share of events at which the
    tail is ahead of every control. Columns are `all` relations and each by itself. A last axis of
    three is a value with its 95% bootstrap interval over documents.
    """

    groups: dict[str, tuple[Head, ...]]
    """What was replaced together, by name."""
    conditions: tuple[tuple[str, str], ...]
    """Mode, and where: at the positions that are asked (`event`), or every text token (`all`)."""
    relations: tuple[str, ...]
    base: Float[np.ndarray, "measures columns 3"]
    """Margin, loss and accuracy of the model as it is."""
    effect: Float[np.ndarray, "groups conditions measures columns 3"]
    random_heads: dict[str, tuple[tuple[Head, ...], ...]]
    """The random groups that each group is held against, none of them its equal."""
    random: Float[np.ndarray, "groups conditions draws measures columns"]
    """Damage by each of these; NaN beyond the last."""
    random_mean: Float[np.ndarray, "groups conditions measures columns 3"]
    """Over the random groups; its interval is over documents and groups, both drawn again."""
    over_random: Float[np.ndarray, "groups conditions measures columns 3"]
    """`effect` less `random_mean`, on the same draws."""
    p: Float[np.ndarray, "groups conditions measures columns"]
    """(1 + random groups that cost as much) / (1 + random groups); NaN without one."""
    n_events: Int[np.ndarray, " columns"]
    n_sequences: Int[np.ndarray, " columns"]
    corruption: str
    """Whose places were exchanged for `attributed` and `patched`: `tails` or `heads`."""
    corruption_drop: Float[np.ndarray, "sides columns 3"]
    """What the margin loses when the text itself has tails, or heads, exchanged."""
    attributed: Float[np.ndarray, "layers heads columns 3"]
    """To first order, what the margin loses when a head has its output on the corrupted text."""
    patched: Float[np.ndarray, "layers heads columns 3"]
    """The same exactly; NaN for heads that were not tried."""
    ablated: Float[np.ndarray, "layers heads columns 3"]
    """What it loses by replacing one head in the first condition; NaN for heads not tried."""
    score: Float[np.ndarray, "layers heads columns"]
    """What a detector says of each head, by relation; NaN without scores."""
    score_name: str
    correlation: Float[np.ndarray, "effects columns 3"]
    """Spearman's rho of score and effect (`attributed`, `patched`, `ablated`) over heads, its
    one-sided permutation p, and how many pairs; in the first column all relations are pooled."""
    others: tuple[str, ...]
    """Further measures, such as in-context learning, under the group ablated everywhere."""
    other_base: Float[np.ndarray, "others 3"]
    other_effect: Float[np.ndarray, "groups modes others 3"]
    """Change from the model as it is: ablated less base, intervals over items."""
    other_random: Float[np.ndarray, "groups modes draws others"]
    other_over_random: Float[np.ndarray, "groups modes others 3"]
    other_p: Float[np.ndarray, "groups modes others"]
    """Two-sided: (1 + random groups that change it as much) / (1 + random groups)."""
    chosen_on: str
    """Whether the heads were chosen on other documents than these."""
    dropped: dict[str, int]
    """Positions that were no event, by reason."""
    statements: tuple[str, ...]
    """What a reader must know."""
    provenance: Provenance

    @property
    def columns(self) -> tuple[str, ...]:
        """`all` and the relations."""
        return (EVERY, *self.relations)

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of the conditions, each once."""
        return tuple(dict.fromkeys(mode for mode, _ in self.conditions))

    def n_random(self, group: str) -> int:
        """Random groups that a group is held against."""
        return len(self.random_heads[group])

    def value(
        self,
        what: str = "effect",
        *,
        group: str | None = None,
        condition: tuple[str, str] | None = None,
        measure: str = "margin",
        relation: str = EVERY,
    ) -> Interval:
        """One of `effect`, `random_mean` or `over_random`; the first group and condition unless
        named."""
        place = self._place(group, condition, measure, relation)
        return Interval(*map(float, getattr(self, what)[place]))

    def apart(
        self,
        *,
        group: str | None = None,
        condition: tuple[str, str] | None = None,
        measure: str = "margin",
        relation: str = EVERY,
    ) -> float:
        """Lower end of the effect less upper end of the random groups' mean; above 0 is apart."""
        names = {"group": group, "condition": condition, "measure": measure, "relation": relation}
        found, chance = (self.value(w, **names) for w in ("effect", "random_mean"))
        return found.low - chance.high

    def p_value(
        self,
        *,
        group: str | None = None,
        condition: tuple[str, str] | None = None,
        measure: str = "margin",
        relation: str = EVERY,
    ) -> float:
        """The p of one effect."""
        return float(self.p[self._place(group, condition, measure, relation)])

    def agreement(self) -> float:
        """Spearman's rho of `attributed` and `patched` over the heads that were patched."""
        exact, first = self.patched[..., 0, 0].ravel(), self.attributed[..., 0, 0].ravel()
        known = ~np.isnan(exact) & ~np.isnan(first)
        if known.sum() < 3 or np.ptp(exact[known]) == 0 or np.ptp(first[known]) == 0:
            return float("nan")
        return float(np.corrcoef(rankdata(exact[known]), rankdata(first[known]))[0, 1])

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "groups": {name: _pairs(heads) for name, heads in self.groups.items()},
            "random_heads": {
                name: [_pairs(heads) for heads in groups]
                for name, groups in self.random_heads.items()
            },
            "conditions": [list(condition) for condition in self.conditions],
            **{name: list(getattr(self, name)) for name in ("relations", "others", "statements")},
            **{n: getattr(self, n) for n in ("corruption", "score_name", "chosen_on", "dropped")},
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "AblationResult":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                groups={name: _heads(pairs) for name, pairs in header["groups"].items()},
                random_heads={
                    name: tuple(map(_heads, groups))
                    for name, groups in header["random_heads"].items()
                },
                conditions=tuple((mode, where) for mode, where in header["conditions"]),
                relations=tuple(header["relations"]),
                others=tuple(header["others"]),
                statements=tuple(header["statements"]),
                corruption=header["corruption"],
                score_name=header["score_name"],
                chosen_on=header["chosen_on"],
                dropped=header["dropped"],
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptFile(f"{path} is no whole head ablation ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The tables for machines; NaN as null."""
        return {
            "groups": {name: list(map(str, heads)) for name, heads in self.groups.items()},
            "conditions": [list(condition) for condition in self.conditions],
            "columns": list(self.columns),
            "measures": list(MEASURES),
            "n_random": {name: self.n_random(name) for name in self.groups},
            **{name: getattr(self, name) for name in ("corruption", "score_name", "chosen_on")},
            "dropped": self.dropped,
            "others": list(self.others),
            "statements": list(self.statements),
            **{
                name: plain(getattr(self, name))
                for name in _ARRAYS
                if name not in ("random", "other_random")
            },
        }

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        first = next(iter(self.groups))
        return (
            f"<AblationResult: {first} ({len(self.groups[first])} heads) "
            f"{' at '.join(self.conditions[0])}: margin drops by {self.value()}, without random "
            f"heads {self.value('random_mean')}>"
        )

    def _repr_html_(self) -> str:
        return as_html(self)

    def _place(
        self, group: str | None, condition: tuple[str, str] | None, measure: str, relation: str
    ) -> tuple[int, int, int, int]:
        def index(kind: str, wanted: Any, known: tuple[Any, ...]) -> int:
            if wanted is not None and wanted not in known:
                raise BadInput(f"no {kind} {wanted!r}: there are {', '.join(map(str, known))}")
            return 0 if wanted is None else known.index(wanted)

        return (
            index("group", group, tuple(self.groups)),
            index("condition", condition, self.conditions),
            index("measure", measure, MEASURES),
            index("relation", relation, self.columns),
        )


def _pairs(heads: tuple[Head, ...]) -> list[list[int]]:
    return [list(head) for head in heads]


def _heads(pairs: list[list[int]]) -> tuple[Head, ...]:
    return tuple(Head(*map(int, pair)) for pair in pairs)


def plain(values: np.ndarray | float) -> Any:
    """As JSON has it, what is not finite as None."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim:
        return [plain(one) for one in array]
    return float(array) if np.isfinite(array) else None
