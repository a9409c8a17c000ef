"""The harm of an edit: what it lost outside its target, and what exchanging outcomes loses."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.abilities.effects.side_effects import Harm
from interp.evaluation.evaluation import Cell, Evaluation
from interp.results.errors import BadInput

EXCHANGES = 10_000


def target_cells(
    cells: Sequence[Cell], *, ability_task: str | None, targets: Sequence[str]
) -> tuple[str, ...]:
    """Keys of the cells of one task in the target languages.

    Raises BadInput where such a cell is not asked about, or where nothing else is.
    """
    if not targets:
        return ()
    wanted = [f"{ability_task}/{language}" for language in targets]
    known = [cell.key for cell in cells]
    missing = [key for key in wanted if key not in known]
    if missing:
        raise BadInput(f"no item stands in the target {missing[0]!r}: there are {', '.join(known)}")
    if not set(known) - set(wanted):
        raise BadInput("every item is of the target: side effects need other items")
    return tuple(wanted)


def harms_of(
    evaluation: Evaluation,
    *,
    targets: Sequence[str],
    rng: np.random.Generator,
    exchanges: int = EXCHANGES,
) -> tuple[Harm, ...]:
    """The harm of every model but the first, in the cells that are not among `targets`."""
    cells = [cell for cell in evaluation.cells if cell.key not in targets]
    members = [evaluation.items_in(cell) for cell in cells]
    return tuple(
        _harm(
            model,
            cells,
            [
                _Outcomes.of(evaluation.correct[0, m], evaluation.correct[row + 1, m])
                for m in members
            ],
            rng,
            exchanges,
        )
        for row, model in enumerate(evaluation.models[1:])
    )


def harm_index(difference: Float[np.ndarray, "draws cells"]) -> Float[np.ndarray, " draws"]:
    """Mean over cells of what was lost: mean of max(0, −difference)."""
    return np.maximum(-difference, 0.0).mean(axis=1)


def standardised_loss(
    difference: Float[np.ndarray, "draws cells"], spread: Float[np.ndarray, " cells"]
) -> Float[np.ndarray, " draws"]:
    """Sum over cells of max(0, −difference / spread)², `spread` what exchanging gives each cell.

    Every cell weighs what it can tell. In the plain index, a cell in which many items differ, such
    as one that gained, would drown the others: exchanged at random, it loses much.
    """
    return np.square(np.maximum(-difference / np.where(spread > 0, spread, 1.0), 0.0)).sum(axis=1)


class _Outcomes:
    """One cell: how many items, how many that one of the two models alone gets right."""

    def __init__(self, n: int, only_base: int, only_edited: int) -> None:
        self.n = n
        self.only_base = only_base
        self.only_edited = only_edited

    @classmethod
    def of(cls, base: Bool[np.ndarray, " n"], edited: Bool[np.ndarray, " n"]) -> "_Outcomes":
        return cls(len(base), int((base & ~edited).sum()), int((edited & ~base).sum()))

    @property
    def difference(self) -> float:
        return (self.only_edited - self.only_base) / self.n

    @property
    def spread(self) -> float:
        """Standard deviation of `exchanged`."""
        return (self.only_base + self.only_edited) ** 0.5 / self.n

    def exchanged(self, rng: np.random.Generator, draws: int) -> Float[np.ndarray, " draws"]:
        """The difference when each item's outcomes change places with probability one half.

        Items on which the models agree do not matter; of the others a binomial number is won.
        """
        n_discordant = self.only_base + self.only_edited
        won: Int[np.ndarray, " draws"] = rng.binomial(n_discordant, 0.5, size=draws)
        return (2 * won - n_discordant) / self.n


def _harm(
    model: str,
    cells: Sequence[Cell],
    outcomes: Sequence[_Outcomes],
    rng: np.random.Generator,
    exchanges: int,
) -> Harm:
    difference = np.array([[one.difference for one in outcomes]], dtype=np.float64)
    spread = np.array([one.spread for one in outcomes], dtype=np.float64)
    exchanged = np.stack([one.exchanged(rng, exchanges) for one in outcomes], axis=1)
    index, by_chance = harm_index(difference), harm_index(exchanged)
    return Harm(
        model=model,
        index=float(index[0]),
        null=float(by_chance.mean()),
        null_high=float(np.quantile(by_chance, 0.95)),
        p=_p(index, by_chance),
        p_any=_p(standardised_loss(difference, spread), standardised_loss(exchanged, spread)),
        n_cells=len(cells),
        n_items=sum(one.n for one in outcomes),
        worst=cells[int(np.argmin(difference[0]))].key,
    )


def _p(seen: Float[np.ndarray, " one"], by_chance: Float[np.ndarray, " draws"]) -> float:
    # Sums of the same parts in another order must count as reached.
    reached = int((by_chance >= seen[0] - 1e-9 * (1 + seen[0])).sum())
    return (1 + reached) / (1 + len(by_chance))
