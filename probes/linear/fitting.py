"""Fit a probe at each site of a store, and what each accuracy has to be held against."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput, Mismatch
from interp.results.intervals import Interval
from interp.results.progress import progress
from interp.results.provenance import Provenance
from probes.linear.codelength import CodeLength, online_code
from probes.linear.control import control_labels
from probes.linear.measuring import Scored, asked_classes, mean_over, score
from probes.linear.regression import PENALTIES, Chosen, Linear, Scale, choose, fit
from probes.linear.result import MEASURES, ProbeResult
from probes.linear.rows import read
from probes.linear.sides import SIDES, Asked, Pool
from probes.linear.task import Task, task_of

_NOTHING = Interval(float("nan"), float("nan"), float("nan"))
_NO_CODE = CodeLength(float("nan"), float("nan"))


class _Fitted(NamedTuple):
    """A probe of one site with its scores, and the means of its classes, in the store's units."""

    linear: Linear
    means: Float[np.ndarray, "classes d"]
    chosen: Chosen
    scored: Scored


def fit_probes(
    store: ActivationStore,
    *,
    sites: Sequence[str],
    label: str,
    pool: Pool = "token",
    where: dict[str, str] | None = None,
    split: str | None = None,
    group: str = "document",
    max_rows: int = 50_000,
    control: bool = True,
    codelength: bool = True,
    baseline: ActivationStore | None = None,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
    command: str = "fit_probes",
) -> ProbeResult:
    """A probe of `label` at every site that matches, fitted, chosen and tested on other groups.

    At most `max_rows` rows are used, whole groups in random order: 60% train, 20% choose the
    penalty, 20% are tested once. A row is a token, or with `pool` the mean, maximum or last of the
    labelled tokens of a document. `split` is a column that says which side a row is on; `where`
    keeps the rows with one value of a column. `baseline` is a store of the same corpus taken from
    the model with random weights. Raises BadInput where a label has one class only.
    """
    named = _matching(store, sites)
    asked = Asked(
        label=label,
        pool=pool,
        group=group,
        split=split,
        where=where or {},
        max_rows=max_rows,
        seed=seed,
    )
    _check_baseline(store, baseline, named)
    task = task_of(store, asked)
    rows: list[list[Interval]] = []
    fits: list[_Fitted] = []
    codes: list[CodeLength] = []
    with progress("probing", total=len(named), unit="sites") as advance:
        for site in named:
            data = {side: read(store, site, part, pool) for side, part in task.parts.items()}
            fitted, data = _fit_site(data, task, penalties=penalties, seed=seed)
            compared = _controlled(fitted, data, task, seed) if control else (_NOTHING, _NOTHING)
            beside = (_NOTHING, _NOTHING)
            if baseline is not None:
                beside = _beside_baseline(fitted, baseline, site, task, pool, penalties, seed)
            scored = fitted.scored
            rows.append([*scored[:3], *compared, *beside])
            fits.append(fitted)
            codes.append(_code(fitted, data, task) if codelength else _NO_CODE)
            advance(accuracy=f"{scored.accuracy.value:.3f}")
    return _result(store, named, asked, task, rows, fits, codes, baseline, control, command)


def _matching(store: ActivationStore, patterns: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in patterns:
        matched = [site for site in store.sites if fnmatchcase(site, pattern)]
        if not matched:
            raise BadInput(
                f"{store.path} has no site {pattern!r}: it holds {', '.join(store.sites)}"
            )
        found |= dict.fromkeys(matched)
    if not found:
        raise BadInput("no site to probe: name one of the store's")
    return tuple(found)


def _check_baseline(
    store: ActivationStore, baseline: ActivationStore | None, sites: tuple[str, ...]
) -> None:
    if baseline is None:
        return
    ours, theirs = store.provenance.corpus_hash, baseline.provenance.corpus_hash
    if ours != theirs or store.n_rows != baseline.n_rows:
        raise Mismatch(
            f"{baseline.path} has {baseline.n_rows} rows of corpus {theirs}, and {store.path} "
            f"{store.n_rows} of {ours}: capture both on the same corpus with the same settings"
        )
    if baseline.provenance.model_hash == store.provenance.model_hash:
        raise Mismatch(
            f"{baseline.path} is of the same weights as {store.path}: capture it with "
            "--random-weights SEED"
        )
    for site in sites:
        if baseline.shape(site) != store.shape(site):
            raise Mismatch(f"{site} has another shape in {baseline.path}: capture the same model")


_Data = dict[str, Float32[np.ndarray, "rows d"]]


def _fit_site(
    data: _Data, task: Task, *, penalties: Sequence[float], seed: int
) -> tuple[_Fitted, _Data]:
    """The probe with the best penalty, and the rows of each side as it takes them."""
    scale = Scale.of(data["train"])
    scaled = {side: scale.apply(rows) for side, rows in data.items()}
    train, validation, test = ((scaled[side], task.classes[side]) for side in SIDES)
    chosen = choose(train, validation, n_classes=len(task.names), penalties=penalties)
    scored = score(chosen.fitted, *test, task.parts["test"].groups, seed=seed)
    means = _class_means(data["train"], task)
    return _Fitted(scale.undo(chosen.fitted), means, chosen, scored), scaled


def _class_means(rows: Float32[np.ndarray, "rows d"], task: Task) -> np.ndarray:
    classes = task.classes["train"]
    each = [rows[classes == i].mean(axis=0, dtype=np.float64) for i in range(len(task.names))]
    return np.stack(each)


def _controlled(fitted: _Fitted, scaled: _Data, task: Task, seed: int) -> tuple[Interval, Interval]:
    """Accuracy on the control task with the same penalty, and selectivity over the same rows."""
    frequencies = np.bincount(task.classes["train"]).astype(np.float64)
    drawn = {
        side: control_labels(part.types, frequencies, seed=seed)
        for side, part in task.parts.items()
    }
    probe = fit(
        scaled["train"],
        drawn["train"],
        n_classes=len(task.names),
        penalty=fitted.chosen.penalty,
    )
    groups = task.parts["test"].groups
    right = probe.log_probabilities(scaled["test"]).argmax(axis=1) == drawn["test"]
    gained = fitted.scored.right.astype(np.int64) - right.astype(np.int64)
    return mean_over(right, groups, seed=seed), mean_over(gained, groups, seed=seed)


def _beside_baseline(
    fitted: _Fitted,
    baseline: ActivationStore,
    site: str,
    task: Task,
    pool: Pool,
    penalties: Sequence[float],
    seed: int,
) -> tuple[Interval, Interval]:
    """Accuracy of the same probe on random weights, and what the trained model has above it."""
    data = {side: read(baseline, site, part, pool) for side, part in task.parts.items()}
    other, _ = _fit_site(data, task, penalties=penalties, seed=seed)
    gained = fitted.scored.right.astype(np.int64) - other.scored.right.astype(np.int64)
    groups = task.parts["test"].groups
    return other.scored.accuracy, mean_over(gained, groups, seed=seed)


def _code(fitted: _Fitted, scaled: _Data, task: Task) -> CodeLength:
    # Groups are numbered in random order: sent so, they come at random and whole.
    order = np.argsort(task.parts["train"].groups, kind="stable")
    return online_code(
        scaled["train"][order],
        task.classes["train"][order],
        n_classes=len(task.names),
        penalty=fitted.chosen.penalty,
    )


def _result(
    store: ActivationStore,
    sites: tuple[str, ...],
    asked: Asked,
    task: Task,
    rows: list[list[Interval]],
    fits: list[_Fitted],
    codes: list[CodeLength],
    baseline: ActivationStore | None,
    control: bool,
    command: str,
) -> ProbeResult:
    cells = np.array(rows, dtype=np.float64)
    test, train = task.classes["test"], task.classes["train"]
    shares = np.bincount(train, minlength=len(task.names)) / len(train)
    asked_for = asked_classes(len(task.names))
    seen = np.isin(task.parts["test"].types, task.parts["train"].types)
    return ProbeResult(
        label=asked.label,
        classes=task.names,
        left_out=task.left_out,
        sites=sites,
        pool=asked.pool,
        **{name: cells[:, i] for i, name in enumerate(MEASURES)},
        majority=float((test == shares.argmax()).mean()),
        chance_average_precision=float(np.mean([(test == c).mean() for c in asked_for])),
        prior_log_loss=float(-np.log(shares)[test].mean()),
        seen_types=float(seen.mean()) if control else float("nan"),
        n_types=len(np.unique(np.concatenate([part.types for part in task.parts.values()]))),
        codelength=np.array([code.nats / len(train) for code in codes]),
        compression=np.array([code.compression for code in codes]),
        penalty=np.array([one.chosen.penalty for one in fits]),
        converged=np.array([one.linear.converged for one in fits]),
        n_rows={side: len(codes) for side, codes in task.classes.items()},
        n_groups={side: len(np.unique(part.groups)) for side, part in task.parts.items()},
        weights={site: one.linear.weights for site, one in zip(sites, fits, strict=True)},
        bias=np.stack([one.linear.bias for one in fits]),
        means={site: one.means for site, one in zip(sites, fits, strict=True)},
        provenance=Provenance.collect(
            command,
            model_hash=store.provenance.model_hash,
            corpus_hash=store.provenance.corpus_hash,
            seed=asked.seed,
            settings={
                **{name: getattr(asked, name) for name in ("label", "pool", "group", "split")},
                "where": asked.where,
                "max_rows": asked.max_rows,
                "sites": list(sites),
                "store": store.header.identity,
                "baseline": None if baseline is None else baseline.header.identity,
                "control": control,
            },
        ),
    )
