"""RouterLoad: how evenly each layer's experts are used, and how sure the router is of a token."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from interp.modules.native.information import entropy_bits, exceedance
from interp.modules.native.table import RoutingTable


@dataclass(frozen=True, kw_only=True)
class RouterLoad:
    """Load and entropy of every layer's router, with intervals over documents and two nulls."""

    n_tokens: int
    n_documents: int
    share: Float64[np.ndarray, "layers experts"]
    """Share of all assignments that go to the expert; sums to 1, even load is 1 / experts."""
    share_interval: Float64[np.ndarray, "layers experts 2"]
    """95% bootstrap over documents, as every interval here; NaN with fewer than two."""
    cv: Float64[np.ndarray, " layers"]
    """Coefficient of variation of the load over experts: 0 even, sqrt(experts - 1) all on one."""
    cv_interval: Float64[np.ndarray, "layers 2"]
    cv_null: Float64[np.ndarray, " layers"]
    """Mean CV when each document's experts are renamed at random: as uneven within documents, no
    expert preferred throughout."""
    cv_p: Float64[np.ndarray, " layers"]
    """One-sided against that null."""
    chi_square_p: Float64[np.ndarray, " layers"]
    """Against even load with tokens taken as independent; they are not: too small."""
    token_entropy: Float64[np.ndarray, " layers"]
    """Mean over tokens of the entropy of the router's probabilities, in bits."""
    token_entropy_interval: Float64[np.ndarray, "layers 2"]
    load_entropy: Float64[np.ndarray, " layers"]
    """Entropy of `share` in bits; log2(experts) where it is even."""
    load_entropy_interval: Float64[np.ndarray, "layers 2"]


def router_load(
    table: RoutingTable, *, rng: np.random.Generator, draws: int, permutations: int
) -> RouterLoad:
    """Load, its CV and both entropies of every layer."""
    chosen, n_tokens, entropy = _by_document(table)
    total = chosen.sum(axis=0)
    boot = _bootstrap(chosen, n_tokens, entropy, rng=rng, draws=draws)
    share, bits = total / total.sum(axis=1, keepdims=True), entropy.sum(axis=0) / n_tokens.sum()
    null = _renamed(chosen, rng=rng, permutations=permutations)
    cv = variation(total)
    return RouterLoad(
        n_tokens=int(n_tokens.sum()),
        n_documents=len(n_tokens),
        share=share,
        share_interval=_ends(boot[0]),
        cv=cv,
        cv_interval=_ends(variation(boot[0])),
        cv_null=null.mean(axis=0),
        cv_p=exceedance(cv, null),
        chi_square_p=uniform_p(total, int(n_tokens.sum())),
        token_entropy=bits,
        token_entropy_interval=_ends(boot[1]),
        load_entropy=entropy_bits(total),
        load_entropy_interval=_ends(entropy_bits(boot[0])),
    )


def variation(
    load: Float64[np.ndarray, "*batch experts"] | Int64[np.ndarray, "*batch experts"],
) -> Float64[np.ndarray, "*batch"]:
    """Standard deviation over mean of the load of experts (population form)."""
    return np.asarray(load.std(axis=-1) / load.mean(axis=-1))


def uniform_p(
    chosen: Int64[np.ndarray, "layers experts"], n_tokens: int
) -> Float64[np.ndarray, " layers"]:
    """p of Pearson's chi-square against even load, for k distinct choices of each token.

    A token's k choices are drawn without replacement, so the statistic is scaled by
    (E - 1) / (E - k), which gives it E - 1 degrees of freedom. 1 where every token takes all.
    """
    n_experts = chosen.shape[1]
    k = chosen.sum(axis=1) / n_tokens
    expected = n_tokens * k[:, None] / n_experts
    raw = ((chosen - expected) ** 2 / expected).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = raw * (n_experts - 1) / (n_experts - k)
    return np.where(k >= n_experts, 1.0, stats.chi2.sf(statistic, n_experts - 1))


def _by_document(
    table: RoutingTable,
) -> tuple[
    Int64[np.ndarray, "documents layers experts"],
    Int64[np.ndarray, " documents"],
    Float64[np.ndarray, "documents layers"],
]:
    starts = np.flatnonzero(np.r_[True, np.diff(table.document) != 0])
    return (
        np.add.reduceat(table.chosen, starts, axis=0),
        np.add.reduceat(table.n_tokens, starts),
        np.add.reduceat(table.entropy, starts, axis=0),
    )


def _bootstrap(
    chosen: Int64[np.ndarray, "documents layers experts"],
    n_tokens: Int64[np.ndarray, " documents"],
    entropy: Float64[np.ndarray, "documents layers"],
    *,
    rng: np.random.Generator,
    draws: int,
) -> tuple[Float64[np.ndarray, "draws layers experts"], Float64[np.ndarray, "draws layers"]]:
    """Shares of load and mean token entropy of `draws` resamples of the documents."""
    n, layers, experts = chosen.shape
    if n < 2:
        return np.full((2, layers, experts), np.nan), np.full((2, layers), np.nan)
    times = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    load = (times @ chosen.reshape(n, -1)).reshape(draws, layers, experts)
    bits = (times @ entropy) / (times @ n_tokens)[:, None]
    return load / load.sum(axis=-1, keepdims=True), bits


def _renamed(
    chosen: Int64[np.ndarray, "documents layers experts"],
    *,
    rng: np.random.Generator,
    permutations: int,
) -> Float64[np.ndarray, "permutations layers"]:
    """CV of the load when the experts of each document and layer are permuted at random."""
    totals = [rng.permuted(chosen, axis=2).sum(axis=0) for _ in range(permutations)]
    return np.stack([variation(total) for total in totals])


def _ends(draws: Float64[np.ndarray, "draws ..."]) -> Float64[np.ndarray, "... 2"]:
    return np.moveaxis(np.quantile(draws, [0.025, 0.975], axis=0), 0, -1)
