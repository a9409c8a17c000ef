"""Fit a probe at each site of a store, and what each accuracy has to be held against."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int

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
from probes.linear.sides import SIDES, Asked, Part, Pool, parts

MAX_CLASSES = 256
_NOTHING = Interval(float("nan"), float("nan"), float("nan"))
_NO_CODE = CodeLength(float("nan"), float("nan"))


class _Task(NamedTuple):
    """The rows of every side, and their classes numbered from 0."""

    parts: dict[str, Part]
    classes: dict[str, Int[np.ndarray, " rows"]]
    names: tuple[str, ...]
    left_out: tuple[str, ...]


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
    pool: Pool = "none",
    where: dict[str, str] | None = None,
    split: str | None = None,
    group: str = "document",
    max_rows: int = 50_000,
    control: bool = True,
    codelength: bool = True,
    untrained: ActivationStore | None = None,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
    command: str = "fit_probes",
) -> ProbeResult:
    """A probe of `label` at every site that matches, fitted, chosen and tested on other groups.

    At most `max_rows` rows are used, whole groups in random order: 60% train, 20% choose the
    penalty, 20% are tested once. A row is a token, or with `pool` the mean, maximum or last of the
    labelled tokens of a document. `split` is a column that says which side a row is on; `where`
    keeps the rows with one value of a column. `untrained` is a store of the same corpus taken from
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
    _check_untrained(store, untrained, named)
    task = _task(store, asked)
    rows: list[list[Interval]] = []
    fits: list[_Fitted] = []
    codes: list[CodeLength] = []
    with progress("probing", total=len(named), unit="sites") as advance:
        for site in named:
            data = {side: read(store, site, part, pool) for side, part in task.parts.items()}
            fitted, data = _fit_site(data, task, penalties=penalties, seed=seed)
            compared = _controlled(fitted, data, task, seed) if control else (_NOTHING, _NOTHING)
            beside = (_NOTHING, _NOTHING)
            if untrained is not None:
                beside = _beside_untrained(fitted, untrained, site, task, pool, penalties, seed)
            scored = fitted.scored
            rows.append([*scored[:3], *compared, *beside])
            fits.append(fitted)
            codes.append(_code(fitted, data, task) if codelength else _NO_CODE)
            advance(accuracy=f"{scored.accuracy.value:.3f}")
    return _result(store, named, asked, task, rows, fits, codes, untrained, control, command)


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


def _check_untrained(
    store: ActivationStore, untrained: ActivationStore | None, sites: tuple[str, ...]
) -> None:
    if untrained is None:
        return
    ours, theirs = store.provenance.corpus_hash, untrained.provenance.corpus_hash
    if ours != theirs or store.n_rows != untrained.n_rows:
        raise Mismatch(
            f"{untrained.path} has {untrained.n_rows} rows of corpus {theirs}, and {store.path} "
            f"{store.n_rows} of {ours}: capture both on the same corpus with the same settings"
        )
    if untrained.provenance.model_hash == store.provenance.model_hash:
        raise Mismatch(
            f"{untrained.path} is of the same weights as {store.path}: capture it with "
            "--random-weights SEED"
        )
    for site in sites:
        if untrained.shape(site) != store.shape(site):
            raise Mismatch(f"{site} has another shape in {untrained.path}: capture the same model")


def _task(store: ActivationStore, asked: Asked) -> _Task:
    """The rows of each side that have a class which every side has."""
    dealt = parts(store, asked)
    known = [np.unique(part.codes) for part in dealt.values()]
    everywhere = np.intersect1d(np.intersect1d(known[0], known[1]), known[2])
    anywhere = np.unique(np.concatenate(known))
    values = store.label_values(asked.label)
    shown = {code: str(code) if values is None else values[code] for code in anywhere.tolist()}
    if len(everywhere) < 2:
        raise BadInput(
            f"label {asked.label!r} has {len(everywhere)} class with rows to train, validate and "
            f"test ({len(anywhere)} in all): a probe needs two"
        )
    if len(everywhere) > MAX_CLASSES:
        raise BadInput(
            f"label {asked.label!r} has {len(everywhere)} classes: at most {MAX_CLASSES} are probed"
        )
    kept = {side: _only(part, everywhere) for side, part in dealt.items()}
    classes = {side: np.searchsorted(everywhere, part.codes) for side, part in kept.items()}
    rare = np.setdiff1d(anywhere, everywhere).tolist()
    names = tuple(shown[code] for code in everywhere.tolist())
    return _Task(kept, classes, names, tuple(shown[code] for code in rare))


def _only(part: Part, classes: Int[np.ndarray, " classes"]) -> Part:
    unit = np.isin(part.codes, classes)
    row = unit[part.unit_of]
    renumbered = np.cumsum(unit) - 1
    return Part(
        part.rows[row],
        renumbered[part.unit_of[row]],
        part.codes[unit],
        part.types[unit],
        part.groups[unit],
    )


_Data = dict[str, Float32[np.ndarray, "rows d"]]


def _fit_site(
    data: _Data, task: _Task, *, penalties: Sequence[float], seed: int
) -> tuple[_Fitted, _Data]:
    """The probe with the best penalty, and the rows of each side as it takes them."""
    scale = Scale.of(data["train"])
    scaled = {side: scale.apply(rows) for side, rows in data.items()}
    train, validation, test = ((scaled[side], task.classes[side]) for side in SIDES)
    chosen = choose(train, validation, n_classes=len(task.names), penalties=penalties)
    scored = score(chosen.fitted, *test, task.parts["test"].groups, seed=seed)
    means = _class_means(data["train"], task)
    return _Fitted(scale.undo(chosen.fitted), means, chosen, scored), scaled


def _class_means(rows: Float32[np.ndarray, "rows d"], task: _Task) -> np.ndarray:
    classes = task.classes["train"]
    each = [rows[classes == i].mean(axis=0, dtype=np.float64) for i in range(len(task.names))]
    return np.stack(each)


def _controlled(
    fitted: _Fitted, scaled: _Data, task: _Task, seed: int
) -> tuple[Interval, Interval]:
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


def _beside_untrained(
    fitted: _Fitted,
    untrained: ActivationStore,
    site: str,
    task: _Task,
    pool: Pool,
    penalties: Sequence[float],
    seed: int,
) -> tuple[Interval, Interval]:
    """Accuracy of the same probe on random weights, and what the trained model has above it."""
    data = {side: read(untrained, site, part, pool) for side, part in task.parts.items()}
    other, _ = _fit_site(data, task, penalties=penalties, seed=seed)
    gained = fitted.scored.right.astype(np.int64) - other.scored.right.astype(np.int64)
    groups = task.parts["test"].groups
    return other.scored.accuracy, mean_over(gained, groups, seed=seed)


def _code(fitted: _Fitted, scaled: _Data, task: _Task) -> CodeLength:
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
    task: _Task,
    rows: list[list[Interval]],
    fits: list[_Fitted],
    codes: list[CodeLength],
    untrained: ActivationStore | None,
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
                "untrained": None if untrained is None else untrained.header.identity,
                "control": control,
            },
        ),
    )
