"""Summary: a tally as HeadScores, one column a relation, each score beside its null."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.heads.columns import Column
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.permutation import LabelSums, Permuted, permuted
from interp.heads.relations.statistics import (
    coverage,
    interval,
    row_weights,
    sequence_means,
    support,
)
from interp.heads.relations.tally import RelationTally
from interp.heads.scores import HeadScores
from interp.results.provenance import Provenance
from interp.results.significance import benjamini_hochberg

_NULLS = {
    "typed": "tail drawn among the entities of its type, alike in {match}",
    "visible": "tail drawn among the tokens before",
    "tenth": "tail or tenth token of the sequence, as in arXiv 2402.13055; no exact test",
}
MIN_EVENTS = 20
MIN_SEQUENCES = 10
VERSION = 1
ALPHA = 0.05
EXTRAS = (
    *("rate", "strength", "per_opportunity", "rate_otherwise", "control", "uniform", "copying"),
    *("raise", "raise_low", "raise_high", "strength_head_first", "strength_tail_first"),
    *("n_opportunities", "n_gated", "n_undefined", "n_head_first", "n_tail_first"),
)


class RelationResult(NamedTuple):
    """One relation's numbers for every head, in the order of the tally's heads."""

    arrays: dict[str, Float[np.ndarray, " heads"]]
    extras: dict[str, Float[np.ndarray, " heads"]]
    note: dict[str, Any]


def head_scores(
    tally: RelationTally,
    *,
    provenance: Provenance,
    draws: int = 10_000,
    bootstrap: int = 2_000,
    seed: int = 0,
) -> HeadScores:
    """Scores, nulls, intervals and corrected p of all relations of a tally.

    The score and its null are over events at which true tail and control tails could all be raised;
    `strength`, `rate` and the other extras over all events. A head with fewer than 20 gated events
    or 10 sequences is not tested: NaN. The family of p_adj and q is all heads and relations.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(tally.of_relation(r)) for r in range(len(tally.relations))]
    nulls = permuted([_label_sums(tally, chosen) for chosen in rows], rng=rng, draws=draws)
    q = _q(nulls)
    results = [
        _result(tally, r, (rows[r], nulls[r], q[r]), rng=rng, bootstrap=bootstrap)
        for r in range(len(tally.relations))
    ]
    shape = (tally.n_layers, tally.n_heads)

    def stacked(arrays: Sequence[Float[np.ndarray, " heads"]]) -> Float[np.ndarray, "l h c"]:
        return np.stack([a.reshape(shape) for a in arrays], axis=2).astype(np.float64)

    columns = tuple(_column(tally, r) for r in range(len(tally.relations)))
    n_tests = int(sum(np.isfinite(null.z).sum() for null in nulls))
    arrays: dict[str, Any] = {
        name: stacked([r.arrays[name] for r in results]) for name in results[0].arrays
    }
    return HeadScores(
        columns=columns,
        **arrays,
        extras={name: stacked([r.extras[name] for r in results]) for name in EXTRAS},
        notes={
            column.name: {**r.note, "n_tests": n_tests}
            for column, r in zip(columns, results, strict=True)
        },
        settings={
            tally.choices.name: {
                **tally.choices.to_json(),
                "draws": draws,
                "bootstrap": bootstrap,
                "min_events": MIN_EVENTS,
                "min_sequences": MIN_SEQUENCES,
                "null": tally.null,
                "match": dict(zip(tally.relations, tally.match, strict=True)),
            }
        },
        provenance=provenance,
    )


def column_name(choices: RelationChoices, relation: str) -> str:
    """`relation.subj`: preset and relation."""
    return f"{choices.name}.{relation}"


def semantic_heads(
    scores: HeadScores, column: str, *, alpha: float = ALPHA
) -> Bool[np.ndarray, "layers heads"]:
    """Heads that raise the tail more than its controls: p_adj below alpha and raise above 0.

    The second means the whole interval of `raise`, the tail's logit over the other candidates'.
    """
    found = np.zeros((scores.n_layers, scores.n_heads), bool)
    for head in scores.significant(column, alpha=alpha):
        found[head] = True
    return found


def _label_sums(tally: RelationTally, rows: Int[np.ndarray, " rows"]) -> LabelSums:
    whole = tally.tested_weight[rows]
    n_events, n_sequences = support(tally.n_tested[rows], tally.sequence[rows])
    tested = (n_events >= MIN_EVENTS) & (n_sequences >= MIN_SEQUENCES)
    weights = row_weights(whole, tally.sequence[rows], tally.choices.weight)
    weights = np.where(tested, weights, 0.0)
    some = tally.n_labels[rows] > 1
    return LabelSums(
        values=(tally.label_share[rows] * weights[..., None])[some],
        tokens=tally.label_tokens[rows][some],
        tested=tested,
    )


def _q(nulls: Sequence[Permuted]) -> list[Float[np.ndarray, " heads"]]:
    p = np.stack([null.p for null in nulls])
    q = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = benjamini_hochberg(p[known])
    return list(q)


def _result(
    tally: RelationTally,
    relation: int,
    tested: tuple[Int[np.ndarray, " rows"], Permuted, Float[np.ndarray, " heads"]],
    *,
    rng: np.random.Generator,
    bootstrap: int,
) -> RelationResult:
    rows, null, q = tested
    extras = _extras(tally, rows)
    means = _means(tally, rows, tally.label_share[rows][..., 0], tally.tested_weight[rows])
    low, high = interval(means, rng=rng, draws=bootstrap)
    raised = _means(tally, rows, tally.raised[rows], tally.weight[rows])
    extras["raise_low"], extras["raise_high"] = interval(raised, rng=rng, draws=bootstrap)
    known = ~np.isnan(null.score)
    n_events, n_sequences = support(tally.n_tested[rows], tally.sequence[rows])
    arrays = {
        **null._asdict(),
        "q": q,
        "ci_low": np.where(known, low, np.nan),
        "ci_high": np.where(known, high, np.nan),
        "n_events": n_events,
        "n_sequences": n_sequences,
    }
    with np.errstate(invalid="ignore"):
        significant = (null.p_adj < ALPHA) & (extras["raise_low"] > 0)
    return RelationResult(arrays, extras, _note(tally, relation, rows, (known, significant)))


def _means(
    tally: RelationTally,
    rows: Int[np.ndarray, " rows"],
    part: Float[np.ndarray, "rows heads"],
    whole: Float[np.ndarray, "rows heads"],
) -> Any:
    return sequence_means(
        part, whole, tally.sequence[rows], tally.document[rows], tally.choices.weight
    )


def _extras(
    tally: RelationTally, rows: Int[np.ndarray, " rows"]
) -> dict[str, Float[np.ndarray, " heads"]]:
    weight, share = tally.weight[rows], tally.share[rows]
    every = np.broadcast_to(tally.opportunities[rows][:, None] * 1.0, weight.shape)
    first = tally.tail_first[rows][:, None]

    def mean(part: np.ndarray, whole: np.ndarray) -> Float[np.ndarray, " heads"]:
        return _means(tally, rows, part, whole).mean

    return {
        "rate": mean(tally.n_gated[rows], every),
        "rate_otherwise": mean(tally.n_gated_otherwise[rows], every),
        "strength": mean(share, weight),
        "per_opportunity": mean(share, every - tally.n_undefined[rows]),
        "control": _control(tally, rows),
        "uniform": mean(tally.uniform[rows], weight),
        "copying": mean(tally.copying[rows], tally.copying_weight[rows]),
        "raise": mean(tally.raised[rows], weight),
        "strength_head_first": mean(share * ~first, weight * ~first),
        "strength_tail_first": mean(share * first, weight * first),
        "n_opportunities": every.sum(axis=0),
        "n_gated": tally.n_gated[rows].sum(axis=0),
        "n_undefined": tally.n_undefined[rows].sum(axis=0),
        "n_head_first": (tally.n_gated[rows] * ~first).sum(axis=0),
        "n_tail_first": (tally.n_gated[rows] * first).sum(axis=0),
    }


def _control(tally: RelationTally, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " heads"]:
    """The score of control tails alone, the true one not among them."""
    n = np.maximum(tally.n_labels[rows] - 1, 1)[:, None]
    others = tally.label_share[rows][..., 1:].sum(axis=2) / n
    return _means(tally, rows, others, tally.tested_weight[rows]).mean


def _note(
    tally: RelationTally,
    relation: int,
    rows: Int[np.ndarray, " rows"],
    heads: tuple[Bool[np.ndarray, " heads"], Bool[np.ndarray, " heads"]],
) -> dict[str, Any]:
    known, significant = heads
    events = np.isin(tally.event_triplet, rows)
    return {
        "coverage": coverage(tally.gates()[events], significant),
        "n_significant": int(significant.sum()),
        "n_untested": int((~known).sum()),
        "match": tally.match[relation],
        "n_triplets": len(rows),
        "n_triplets_with_controls": int((tally.n_labels[rows] > 1).sum()),
        "n_triplets_tail_first": int(tally.tail_first[rows].sum()),
        "left_out": tally.left_out[tally.relations[relation]],
    }


def _column(tally: RelationTally, relation: int) -> Column:
    choices, name = tally.choices, tally.relations[relation]
    where = {"residual": "", "embedding": ", embeddings through the weights alone"}[choices.input]
    what = {
        "source": "what is read from the head entity",
        "current": "the current token through OV",
        "head": "all that the head writes",
    }[choices.operand]
    return Column(
        name=column_name(choices, name),
        detector=choices.name,
        relation=name,
        definition=f"share of the tail in what a head raises among {choices.candidates} tokens, by "
        f"{what}{where}, when it attends to the head entity ({choices.gate})",
        source="arXiv 2402.13055, eq. 1 to 3"
        if choices.name.startswith("ren2024")
        else "after arXiv 2402.13055, eq. 1 to 3, read at the attended token",
        version=VERSION,
        unit="share",
        low=0.0,
        high=1.0,
        chance="1 / number of candidates, in `uniform`",
        null=_NULLS[tally.null].format(match=tally.match[relation]),
        inputs="relations",
        above_zero="raise_low",
    )
