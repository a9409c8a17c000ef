"""Effects over events as means over sequences, with their intervals and their random groups."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.events import Events


class Totals(NamedTuple):
    """Sums over sequences by document, and how many sequences they are of.

    The first column is over all relations, the others one each.
    """

    sums: Float[np.ndarray, "*sets documents columns"]
    counts: Float[np.ndarray, "documents columns"]

    def mean(self) -> Float[np.ndarray, "*sets columns"]:
        """Mean over sequences; NaN in a column without one."""
        with np.errstate(invalid="ignore"):
            return self.sums.sum(-2) / self.counts.sum(0)

    def drawn(self, times: Float[np.ndarray, "draws documents"]) -> Float[np.ndarray, "..."]:
        """`mean` of documents drawn so many times, the draws as the first axis."""
        sums = np.moveaxis(times @ self.sums, -2, 0)
        counts = (times @ self.counts).reshape(len(times), *([1] * (sums.ndim - 2)), -1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums / counts


class Sequences:
    """The events of a corpus as mean over positions, then triplets, then sequences."""

    def __init__(self, corpus: RelationCorpus, events: Events) -> None:
        self.n_columns = 1 + len(corpus.relations)
        self._events = events
        documents = np.array([s.document for s in corpus.sequences])[events.sequence]
        self.documents, self._document = np.unique(documents, return_inverse=True)
        self.n_events = np.bincount(events.relation + 1, minlength=self.n_columns)
        self.n_events[0] = len(events)
        self.counts = np.zeros((len(self.documents), self.n_columns))
        self._count()
        self.n_sequences = self.counts.sum(0).astype(np.int64)

    def totals(self, values: Float[np.ndarray, "*sets events"]) -> Totals:
        """Sums by document of the sequences' means of `values`."""
        sums = np.zeros((*values.shape[:-1], len(self.documents), self.n_columns))
        flat = sums.reshape(-1, len(self.documents), self.n_columns)
        weighted = [
            values.reshape(-1, values.shape[-1]) * weight
            for weight in (self._events.weight, self._events.relation_weight)
        ]
        for i in range(len(flat)):
            np.add.at(flat[i, :, 0], self._document, weighted[0][i])
            np.add.at(flat[i], (self._document, self._events.relation + 1), weighted[1][i])
        return Totals(sums, self.counts)

    def resamples(
        self, draws: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "draws documents"]:
        """How often each document is drawn; one document alone cannot be drawn otherwise."""
        n = len(self.documents)
        return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)

    def _count(self) -> None:
        for column in range(self.n_columns):
            own = (
                self._events.relation == column - 1 if column else np.ones(len(self._events), bool)
            )
            pairs = np.unique(np.stack([self._document[own], self._events.sequence[own]]), axis=1)
            self.counts[:, column] = np.bincount(pairs[0], minlength=len(self.documents))


def with_ends(
    value: Float[np.ndarray, "*any"], draws: Float[np.ndarray, "_ ..."]
) -> Float[np.ndarray, "*any 3"]:
    """Each value with the 95% percentile interval of its bootstrap draws; NaN where none has one.

    A measure that does not vary is as it is: its interval has no width.
    """
    with np.errstate(invalid="ignore"):
        ends = np.full((2, *value.shape), np.nan)
        known = ~np.isnan(draws).any(0)
        if known.any():
            ends[:, known] = np.quantile(draws[:, known], [0.025, 0.975], axis=0)
        # Where a rare relation is missing from some draws, the others still say how far it varies.
        partly = ~known & (np.isnan(draws).mean(0) < 0.05)
        if partly.any():
            ends[:, partly] = np.nanquantile(draws[:, partly], [0.025, 0.975], axis=0)
    return np.stack([value, ends[0], ends[1]], axis=-1)


def p_of_groups(
    found: Float[np.ndarray, "*any"], random: Float[np.ndarray, "_ ..."]
) -> Float[np.ndarray, "*any"]:
    """(1 + random groups that cost as much) / (1 + groups); NaN without a group."""
    if not len(random):
        return np.full(found.shape, np.nan)
    p = (1 + (random >= found - 1e-12).sum(0)) / (1 + len(random))
    return np.where(np.isnan(found) | np.isnan(random).any(0), np.nan, p)


class RankCorrelation(NamedTuple):
    """Spearman's rho of score and effect over heads, with a one-sided permutation p."""

    rho: float
    p: float
    n: int
    """(Head, relation) pairs that have both."""


def rank_correlation(
    score: Float[np.ndarray, "heads columns"],
    effect: Float[np.ndarray, "heads columns"],
    *,
    rng: np.random.Generator,
    draws: int = 10_000,
) -> RankCorrelation:
    """Of all pairs that have both; p for a rho as high when effects belong to other heads.

    Heads change places with all of their columns, among heads that have the same columns. NaN below
    three pairs or where one side is constant.
    """
    both = ~np.isnan(score) & ~np.isnan(effect)
    n = int(both.sum())
    constant = n < 3 or np.ptp(score[both]) == 0 or np.ptp(effect[both]) == 0
    if constant:
        return RankCorrelation(float("nan"), float("nan"), n)
    ranks, other = (np.full(both.shape, np.nan) for _ in range(2))
    ranks[both], other[both] = rankdata(score[both]), rankdata(effect[both])
    ranks, other = ranks - np.nanmean(ranks), other - np.nanmean(other)
    size = float(np.sqrt(np.nansum(ranks**2) * np.nansum(other**2)))
    rho = float(np.nansum(ranks * other)) / size
    _, kind = np.unique(both, axis=0, return_inverse=True)
    cross = np.nan_to_num(ranks) @ np.nan_to_num(other).T
    order = _within(kind.ravel(), draws, rng)
    sums = cross[np.arange(len(cross)), order].sum(1) / size
    return RankCorrelation(rho, float((1 + (sums >= rho - 1e-12).sum()) / (1 + draws)), n)


def _within(
    kind: Int[np.ndarray, " heads"], draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "draws heads"]:
    """Orders of the heads in which each stands where one of its own kind stood."""
    order = np.tile(np.arange(len(kind)), (draws, 1))
    for one in np.unique(kind):
        own = np.flatnonzero(kind == one)
        order[:, own] = rng.permuted(np.tile(own, (draws, 1)), axis=1)
    return order
