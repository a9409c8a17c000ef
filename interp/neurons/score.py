"""Score the units of a site for functions, beside what chance and other models give."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from interp.capture.distributed import Ranks, current_ranks
from interp.capture.store import ActivationStore
from interp.neurons.functions import LabelledFunctions, Rows
from interp.neurons.judging import JudgedUnits, joined, judge_units
from interp.neurons.labelling import labelled_functions
from interp.neurons.nulls import expected_average_precision
from interp.neurons.pooled_null import PooledNull, false_discovery, max_t
from interp.neurons.pooling import Transform, count_units, pooled_values
from interp.neurons.questions import Chance
from interp.neurons.scores import Measure, NeuronScores, Pooling
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress
from interp.results.provenance import Provenance

PERMUTATIONS = 200
By = Literal["ap", "skill", "information", "selectivity"]
_NAMED: dict[By, Measure] = {
    "ap": "average precision",
    "skill": "held-out accuracy",
    "information": "mutual information",
    "selectivity": "selectivity",
}
_UNITS_AT_ONCE = 64
"""Units are judged in these lots whoever judges them, so that no last bit depends on the ranks."""
_POOLED_BYTES = 1 << 29


def score_neurons(
    store: ActivationStore | Path | str,
    *,
    site: str,
    labels: Sequence[str],
    pool: Pooling = "max",
    over: Rows = "documents",
    within: str | None = None,
    group: str | None = None,
    measure: By = "ap",
    chance: Chance | None = "balance",
    per_class: int | None = 1000,
    n_permutations: int = PERMUTATIONS,
    transform: Transform | None = None,
    units: str = "neurons",
    baselines: Mapping[str, ActivationStore | Path | str] | None = None,
    specials: bool = False,
    seed: int = 0,
    pooled_bytes: int = _POOLED_BYTES,
    command: str | None = None,
) -> NeuronScores:
    """How well every unit of `site` detects the functions that label columns of a store ask.

    Values are pooled over documents or sequences, or every token is a row (`pool="token"`). Classes
    are made equal by leaving out rows (`chance="balance"`, at most `per_class` of each), or average
    precision is counted from its expectation (`"normalise"`); with None a label must be balanced as
    it is. `measure` is average precision; "skill", the accuracy on half of the documents of a
    threshold from the other half; "information", bits; or "selectivity", d' between class means.
    Labels change places under chance as rows where no document has two, else as whole documents,
    else along the text. `transform` makes the units of a row (a dictionary's features, norms of
    heads) and `units` names them. `baselines` are stores of the same text in other models, a
    random-weights one above all. Columns are taken in lots that fit `pooled_bytes`; under
    `torchrun` the ranks share the units, and the numbers are those of one process to the last bit.

    Raises BadInput for labels that cannot be functions, Mismatch for a baseline of another text.
    """
    opened = _opened(store)
    opened.shape(site)
    if n_permutations < 1:
        raise BadInput(f"{n_permutations} permutations: at least 1 is needed for a null")
    functions = labelled_functions(
        opened,
        labels,
        rows="tokens" if pool == "token" else over,
        within=within,
        group=group,
        chance=chance,
        per_class=per_class,
        seed=seed,
        specials=specials,
    )
    measured = _measure(measure, chance)
    judge = _Judge(functions, site, pool, transform, measured, seed, pooled_bytes)
    others = {name: _baseline(_opened(other), opened) for name, other in (baselines or {}).items()}
    found, null = judge.units(opened, n_permutations)
    return neuron_scores(
        found,
        null,
        functions,
        site=site,
        units=units,
        pooling=pool,
        measure=measured,
        baseline={name: judge.units(other, 0)[0].score for name, other in others.items()},
        baseline_models={name: other.provenance.model_hash for name, other in others.items()},
        provenance=Provenance.collect(
            command or f"interp.score_neurons({str(opened.path)!r}, site={site!r}, ...)",
            model_hash=opened.provenance.model_hash,
            corpus_hash=opened.provenance.corpus_hash,
            seed=seed,
            settings={
                "labels": list(labels),
                "over": functions.rows,
                "within": within,
                "group": group,
                "measure": measure,
                "chance": chance,
                "per_class": per_class,
                "n_permutations": n_permutations,
                "specials": specials,
                "n_rows": functions.n_rows,
            },
        ),
    )


def score_values(
    values: Float[torch.Tensor, "rows units"],
    functions: LabelledFunctions,
    *,
    site: str,
    provenance: Provenance,
    pooling: Pooling = "max",
    measure: Measure = "average precision",
    n_permutations: int = PERMUTATIONS,
    units: str = "neurons",
    seed: int = 0,
) -> NeuronScores:
    """The same from values that are pooled already, one row of them for each row of `functions`."""
    pool = PooledNull(len(functions.functions))
    parts = [
        judge_units(
            part,
            functions,
            measure=measure,
            n_permutations=n_permutations,
            seed=seed,
            pool=pool,
        )
        for part in values.split(_UNITS_AT_ONCE, dim=1)
    ]
    return neuron_scores(
        joined(parts),
        pool,
        functions,
        site=site,
        units=units,
        pooling=pooling,
        measure=measure,
        provenance=provenance,
    )


def neuron_scores(
    found: JudgedUnits,
    pool: PooledNull,
    functions: LabelledFunctions,
    *,
    site: str,
    units: str,
    pooling: Pooling,
    measure: Measure,
    provenance: Provenance,
    baseline: dict[str, np.ndarray] | None = None,
    baseline_models: dict[str, str | None] | None = None,
) -> NeuronScores:
    """The finding of judged units: p-values from the permutations, and their correction."""
    p, smallest = pool.finish(found.z, found.harmonic)
    return NeuronScores(
        site=site,
        units=units,
        functions=functions.functions,
        ap_positive=found.ap_positive,
        ap_negative=found.ap_negative,
        score=found.score,
        sign=found.sign,
        p=p,
        q=false_discovery(p),
        p_max_t=max_t(found.score, found.null_best),
        smallest_p=smallest,
        null_best=found.null_best,
        expected=_expected(found, functions, measure),
        dead=found.dead,
        measure=measure,
        pooling=pooling,
        provenance=provenance,
        baseline=baseline or {},
        baseline_models=baseline_models or {},
    )


def _measure(by: By, chance: Chance | None) -> Measure:
    if by == "ap" and chance == "normalise":
        return "normalised average precision"
    return _NAMED[by]


def _expected(
    found: JudgedUnits, functions: LabelledFunctions, measure: Measure
) -> Float[np.ndarray, " functions"]:
    if measure.endswith("average precision"):
        counts = [(f.n, f.n_positive) for f in functions.functions]
        return np.array([expected_average_precision(n, positive) for n, positive in counts])
    n_live, n_permutations = int((~found.dead).sum()), found.null_best.shape[1]
    return found.null_sum[:, ~found.dead].sum(axis=1) / max(n_live * n_permutations, 1)


class _Judge:
    """Reads and judges the units of one site in one store after another, on the same rows."""

    def __init__(
        self,
        functions: LabelledFunctions,
        site: str,
        pool: Pooling,
        transform: Transform | None,
        measure: Measure,
        seed: int,
        pooled_bytes: int,
    ) -> None:
        self._functions = functions
        self._site = site
        self._pool: Pooling = pool
        self._transform = transform
        self._measure: Measure = measure
        self._seed = seed
        # Whole lots, at least one.
        lots = pooled_bytes // (4 * max(functions.n_rows, 1) * _UNITS_AT_ONCE)
        self._at_once = max(lots, 1) * _UNITS_AT_ONCE

    def units(self, store: ActivationStore, n_permutations: int) -> tuple[JudgedUnits, PooledNull]:
        """All units and their null, those of other ranks included."""
        ranks = current_ranks()
        n_units = count_units(store, self._site, self._transform)
        first, stop = _share(ranks, n_units)
        parts: list[JudgedUnits] = []
        pool = PooledNull(len(self._functions.functions))
        with progress(f"scoring {self._site}", total=stop - first, unit="units") as advance:
            for start in range(first, stop, self._at_once):
                end = min(start + self._at_once, stop)
                values = self._values(store, slice(start, end))
                for lot in torch.from_numpy(values).split(_UNITS_AT_ONCE, dim=1):
                    parts.append(self._judge(lot, n_permutations, pool))
                    advance(lot.shape[1])
        whole = PooledNull(len(self._functions.functions))
        shares = ranks.share((parts, pool))
        for _, counted in shares:
            whole.merge(counted)
        return joined([part for share, _ in shares for part in share]), whole

    def _values(self, store: ActivationStore, units: slice) -> Float[np.ndarray, "rows chunk"]:
        return pooled_values(
            store,
            self._site,
            self._functions.row_of,
            n_rows=self._functions.n_rows,
            kind=self._pool,
            units=units,
            transform=self._transform,
        )

    def _judge(self, values: torch.Tensor, n_permutations: int, pool: PooledNull) -> JudgedUnits:
        return judge_units(
            values,
            self._functions,
            measure=self._measure,
            n_permutations=n_permutations,
            seed=self._seed,
            pool=pool,
        )


def _share(ranks: Ranks, n_units: int) -> tuple[int, int]:
    """The units [first, stop) of this rank: whole lots, as even as those allow."""
    lots = -(-n_units // _UNITS_AT_ONCE)
    first, stop = (lots * (ranks.rank + i) // ranks.world for i in (0, 1))
    return min(first * _UNITS_AT_ONCE, n_units), min(stop * _UNITS_AT_ONCE, n_units)


def _opened(store: ActivationStore | Path | str) -> ActivationStore:
    return store if isinstance(store, ActivationStore) else ActivationStore.open(store)


def _baseline(other: ActivationStore, store: ActivationStore) -> ActivationStore:
    """Mismatch unless the two hold the same tokens in the same order."""
    pairs = {
        "text": (other.provenance.corpus_hash, store.provenance.corpus_hash),
        "number of rows": (other.n_rows, store.n_rows),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise Mismatch(
                f"{other.path} has another {what} than {store.path}: capture the baseline with the "
                "same corpus, labels and options"
            )
    return other
