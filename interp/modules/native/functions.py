"""FunctionRouting: which experts the tokens of each function choose, more than chance would.

Rows are the tokens of a text that carry a function label. Two nulls: tokens exchangeable (an exact
hypergeometric tail), and documents exchangeable, where the labels are of documents: tokens of one
document are alike, so the first alone finds far too much.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import stats

from interp.modules.native.information import entropy_bits, exceedance, mutual_information
from interp.modules.native.table import UNLABELLED, RoutingTable
from interp.results.errors import BadInput
from interp.results.significance import benjamini_hochberg

Unit = Literal["documents", "tokens"]


@dataclass(frozen=True, kw_only=True)
class FunctionRouting:
    """What each function's tokens choose in every layer, and what permuted labels give."""

    label: str
    """The label column."""
    functions: tuple[str, ...]
    """Its values, as words where the text has words."""
    codes: tuple[int, ...]
    """The integers that stand for them in the corpus."""
    unit: Unit
    """What is permuted: documents where each has one value of the label, else tokens."""
    n_tokens: Int64[np.ndarray, " functions"]
    n_units: Int64[np.ndarray, " functions"]
    """Documents, or tokens, of each function."""
    chosen: Int64[np.ndarray, "layers functions experts"]
    """Tokens of the function that chose the expert."""
    probability: Float64[np.ndarray, "layers functions experts"]
    """Mean router probability over the function's tokens."""
    lift: Float64[np.ndarray, "layers functions experts"]
    """Share of the function's tokens that chose the expert over that of all labelled tokens: the
    effect size, 1 by chance. NaN for an expert that nothing chose."""
    p_exact: Float64[np.ndarray, "layers functions experts"]
    """One-sided hypergeometric tail of `chosen`, tokens exchangeable."""
    p: Float64[np.ndarray, "layers functions experts"]
    """By permuting `unit`: documents by draws, tokens exactly."""
    q: Float64[np.ndarray, "layers functions experts"]
    """`p` with the false discovery rate controlled over layers, functions and experts."""
    smallest_p: float
    """That the draws can give; 0 where the test is exact."""
    information: Float64[np.ndarray, " layers"]
    """Mutual information of function and expert in bits, Miller-Madow corrected."""
    information_null: Float64[np.ndarray, "permutations layers"]
    """The same with labels permuted over `unit`."""
    information_p: Float64[np.ndarray, " layers"]

    def functional(self, *, fdr: float = 0.05) -> Bool[np.ndarray, "layers functions experts"]:
        """Experts that a function's tokens choose more than chance, at this discovery rate."""
        return (self.q <= fdr) & (self.lift > 1)

    def summary(self) -> dict[str, Any]:
        """For machines: information beside its null, and the functional experts."""
        return {
            "label": self.label,
            "functions": self.functions,
            "unit": self.unit,
            "n_tokens": self.n_tokens,
            "n_units": self.n_units,
            "information": self.information,
            "information_null_mean": self.information_null.mean(axis=0),
            "information_p": self.information_p,
            "smallest_p": self.smallest_p,
            "needed_at_smallest": self.needed_at_smallest(),
            "functional": [
                {
                    "layer": int(i),
                    "function": self.functions[f],
                    "expert": int(e),
                    "lift": float(self.lift[i, f, e]),
                    "p": float(self.p[i, f, e]),
                    "q": float(self.q[i, f, e]),
                }
                for i, f, e in zip(*np.nonzero(self.functional()), strict=True)
            ],
        }

    def needed_at_smallest(self, *, fdr: float = 0.05) -> int:
        """Tests that must reach `smallest_p` before any can be functional; 1 where the test is
        exact. More permutations lower it."""
        return max(1, ceil(round(self.smallest_p * self.p.size / fdr, 9)))

    @property
    def function_entropy(self) -> float:
        """Entropy of the function label over tokens in bits: what `information` cannot exceed."""
        return float(entropy_bits(self.n_tokens))


class _Labelled(NamedTuple):
    """The labelled keys of a routing table."""

    code: Int64[np.ndarray, " keys"]
    """Index of the function."""
    n_tokens: Int64[np.ndarray, " keys"]
    chosen: Int64[np.ndarray, "keys layers experts"]
    probability: Float64[np.ndarray, "keys layers experts"]


def function_routing(
    table: RoutingTable,
    *,
    label: str,
    names: tuple[str, ...] | None = None,
    rng: np.random.Generator,
    permutations: int,
) -> FunctionRouting:
    """Counts, effect sizes and both nulls of every layer. BadInput unless there are two functions.

    `names` are the words of the label's integers, from 0 on; without, the integers are the names.
    With token labels the null of the mutual information draws tables with both margins fixed; a
    token with k > 1 choices is then k independent ones, which makes the null wider than it is.
    """
    rows = table.function != UNLABELLED
    functions = np.unique(table.function[rows])
    if len(functions) < 2:
        raise BadInput(
            f"label {label!r} has {len(functions)} value(s) over the tokens read: a function is "
            "told from others, so at least two are needed"
        )
    kept = _Labelled(
        np.searchsorted(functions, table.function[rows]),
        table.n_tokens[rows],
        table.chosen[rows],
        table.probability[rows],
    )
    unit: Unit = "documents" if len(np.unique(table.document[rows])) == rows.sum() else "tokens"
    n_functions = len(functions)
    n_tokens = np.bincount(kept.code, weights=kept.n_tokens, minlength=n_functions).astype(np.int64)
    counts = _tables(kept.code[None], kept.chosen, n_functions)[0]
    p_exact = _hypergeometric(counts, n_tokens)
    null, p, smallest = _null(kept, counts, p_exact, unit, rng=rng, permutations=permutations)
    information = mutual_information(counts)
    return FunctionRouting(
        label=label,
        functions=tuple(str(f) if names is None else names[f] for f in functions),
        codes=tuple(int(f) for f in functions),
        unit=unit,
        n_tokens=n_tokens,
        n_units=n_tokens if unit == "tokens" else np.bincount(kept.code, minlength=n_functions),
        chosen=counts,
        probability=_means(kept, n_functions, n_tokens),
        lift=_lift(counts, n_tokens),
        p_exact=p_exact,
        p=p,
        q=benjamini_hochberg(p.ravel()).reshape(p.shape),
        smallest_p=smallest,
        information=information,
        information_null=null,
        information_p=exceedance(information, null),
    )


def _null(
    kept: _Labelled,
    counts: Int64[np.ndarray, "layers functions experts"],
    p_exact: Float64[np.ndarray, "layers functions experts"],
    unit: Unit,
    *,
    rng: np.random.Generator,
    permutations: int,
) -> tuple[
    Float64[np.ndarray, "permutations layers"],
    Float64[np.ndarray, "layers functions experts"],
    float,
]:
    """Mutual information under the null, p of every count, and the smallest p there could be."""
    if unit == "tokens":
        draws = [
            stats.random_table(layer.sum(1), layer.sum(0)).rvs(permutations, random_state=rng)
            for layer in counts
        ]
        tables = np.stack(draws, axis=1).astype(np.int64)
        return mutual_information(tables), p_exact, 0.0
    null, exceeding = [], np.zeros(counts.shape, np.int64)
    n_tokens = np.bincount(kept.code, weights=kept.n_tokens)
    share = counts / n_tokens[None, :, None]
    for _ in range(permutations):
        code = rng.permutation(kept.code)
        drawn = _tables(code[None], kept.chosen, counts.shape[1])[0]
        n = np.bincount(code, weights=kept.n_tokens)
        # Shares: a permuted function has another number of tokens where documents differ in length.
        exceeding += drawn / n[None, :, None] >= share - 1e-12
        null.append(mutual_information(drawn))
    return np.stack(null), (1.0 + exceeding) / (1.0 + permutations), 1 / (1 + permutations)


def _tables(
    codes: Int64[np.ndarray, "draws keys"],
    chosen: Int64[np.ndarray, "keys layers experts"],
    n_functions: int,
) -> Int64[np.ndarray, "draws layers functions experts"]:
    """Tokens of each function that chose each expert, for every assignment of functions to keys."""
    n, layers, experts = chosen.shape
    member = (codes[:, None, :] == np.arange(n_functions)[None, :, None]).astype(np.float64)
    # Exact in float64: counts stay far below 2^53.
    sums = member.reshape(-1, n) @ chosen.reshape(n, -1)
    shaped = sums.reshape(len(codes), n_functions, layers, experts)
    return np.rint(shaped).astype(np.int64).swapaxes(1, 2)


def _hypergeometric(
    counts: Int64[np.ndarray, "layers functions experts"], n_tokens: Int64[np.ndarray, " functions"]
) -> Float64[np.ndarray, "layers functions experts"]:
    """P(X >= count): X of the function's tokens chose the expert, all tokens exchangeable."""
    of_expert = counts.sum(axis=1, keepdims=True)
    p = stats.hypergeom.sf(counts - 1, n_tokens.sum(), of_expert, n_tokens[None, :, None])
    return np.minimum(np.asarray(p, np.float64), 1.0)


def _lift(
    counts: Int64[np.ndarray, "layers functions experts"], n_tokens: Int64[np.ndarray, " functions"]
) -> Float64[np.ndarray, "layers functions experts"]:
    share = counts / n_tokens[None, :, None]
    overall = counts.sum(axis=1, keepdims=True) / n_tokens.sum()
    return np.divide(share, overall, out=np.full(share.shape, np.nan), where=overall > 0)


def _means(
    kept: _Labelled, n_functions: int, n_tokens: Int64[np.ndarray, " functions"]
) -> Float64[np.ndarray, "layers functions experts"]:
    sums = np.zeros((n_functions, *kept.probability.shape[1:]))
    np.add.at(sums, kept.code, kept.probability)
    return (sums / n_tokens[:, None, None]).swapaxes(0, 1)
