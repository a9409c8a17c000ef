"""Follow a series of checkpoints: each is measured once and kept, then the curves are drawn up."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from interp.corpus.corpus import Corpus
from interp.corpus.sources import Packing, open_corpus
from interp.models.context import length_within, refuse_beyond_context
from interp.models.hub import fetch
from interp.models.identity import model_hash
from interp.models.load import load
from interp.models.reference import resolve
from interp.models.series import Checkpoint, checkpoints
from interp.models.sites import resolve_sites
from interp.modules.emergence.checkpoint import CheckpointRecord
from interp.modules.emergence.curves import layer_curves
from interp.modules.emergence.measure import Probe, measure_checkpoint
from interp.modules.emergence.shapes import compare_shapes, refuse_other_shapes, tensor_shapes
from interp.modules.emergence.stability import FOLDER, Setup, Stability
from interp.modules.partition import expert_size
from interp.neurons.scores import Pooling
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.sources import NEURONS
from interp.results.atomic import atomic_directory, check_out, write_json
from interp.results.errors import BadInput, InterpError, Mismatch
from interp.results.processes import check_alone
from interp.results.progress import progress
from interp.results.provenance import Provenance

SCHEMA = "interp.emergence/1"
MARKER = "interp.json"
LEAST_STARTS, LEAST_DRAWS = 8, 50


def follow_series(
    series: str,
    data: Path | str,
    out: Path | str,
    *,
    labels: Sequence[str],
    n_experts: int,
    steps: Sequence[int] | None = None,
    sites: Sequence[str] = (),
    reference: int | None = None,
    rule: ActivityRule | None = None,
    pool: Pooling = "max",
    n_starts: int = LEAST_STARTS,
    n_random: int = LEAST_DRAWS,
    n_permutations: int = 20,
    max_tokens: int = 50_000,
    length: int | None = None,
    packing: Packing = "document",
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    command: str = "interp.follow_series",
) -> Stability:
    """The stability of neurons, experts, partitions and sparsity over a series of checkpoints.

    `series` is what `checkpoints` takes, `steps` some of its steps; `data` is a labelled text as
    for `interp capture --label`, in sequences of `length`, 128 or the model's context if not given.
    Experts are fixed at step `reference` (the last), by balanced k-means of the weights from
    `n_starts` starts. A checkpoint that is done is kept in `out`, and the same call goes on with
    the rest; `overwrite` starts again.

    Raises Mismatch for a series of different shapes and for an `out` of other settings, BadInput
    where experts do not divide a layer, for fewer than 8 starts, 50 random partitions or two
    checkpoints, Unsupported under `torchrun`.
    """
    if n_starts < LEAST_STARTS or n_random < LEAST_DRAWS:
        raise BadInput(
            f"{n_starts} starts and {n_random} random partitions: at least {LEAST_STARTS} and "
            f"{LEAST_DRAWS}, because their spread is what the curves are read against"
        )
    check_alone("following a series")
    chosen = _chosen(checkpoints(series), steps, series)
    fixed = chosen[-1].step if reference is None else reference
    if fixed not in [checkpoint.step for checkpoint in chosen]:
        raise BadInput(f"the reference step {fixed} is none of those followed")
    refuse_other_shapes(chosen)
    probe = Probe(
        labels=tuple(labels),
        n_experts=n_experts,
        n_starts=n_starts,
        n_permutations=n_permutations,
        max_tokens=max_tokens,
        pool=pool,
        rule=rule,
        seed=seed,
    )
    files = _first_files(chosen)
    length = length_within(files, length)
    corpus = open_corpus(data, files, length=length, packing=packing, labels=labels)
    refuse_beyond_context(files, corpus.length)
    settings = {
        **asdict(probe),
        "rule": None if rule is None else str(rule),
        "labels": list(labels),
        "sites": list(sites),
        "corpus": corpus.hash,
        "device": device,
    }
    directory = Path(out)
    with _workspace(directory, settings, overwrite=overwrite) as kept:
        records = _records(chosen, corpus, probe, sites, kept=kept, device=device)
        found = _stability(records, probe, fixed, n_random, corpus, settings, command)
        found.save(directory / FOLDER, overwrite=(directory / FOLDER).exists())
    return found


def _first_files(series: Sequence[Checkpoint]) -> Path:
    """The directory of the first checkpoint, fetched where need be: it reads the text."""
    first = series[0]
    path = fetch(resolve(first.ref, revision=first.revision)).path
    if path is None:
        raise BadInput(f"{first.ref} has no files")
    return path


def _chosen(found: list[Checkpoint], steps: Sequence[int] | None, series: str) -> list[Checkpoint]:
    if steps is not None:
        lacking = sorted(set(steps) - {checkpoint.step for checkpoint in found})
        if lacking:
            there = ", ".join(str(checkpoint.step) for checkpoint in found)
            raise BadInput(f"{series} has no step {lacking[0]}: it has {there}")
        found = [checkpoint for checkpoint in found if checkpoint.step in set(steps)]
    if len(found) < 2:
        raise BadInput(f"{len(found)} checkpoint of {series}: a change takes two")
    return found


def _records(
    series: Sequence[Checkpoint],
    corpus: Corpus,
    probe: Probe,
    sites: Sequence[str],
    *,
    kept: Path,
    device: str,
) -> list[CheckpointRecord]:
    records: list[CheckpointRecord] = []
    shapes = None
    with progress("checkpoints", total=len(series), unit="checkpoints") as advance:
        for checkpoint in series:
            path = kept / f"step-{checkpoint.step}"
            files = fetch(resolve(checkpoint.ref, revision=checkpoint.revision)).path
            if files is None:
                raise BadInput(f"{checkpoint.ref} has no files")
            own = tensor_shapes(files)
            compare_shapes(shapes or own, own, series[0].step, checkpoint.step)
            shapes = shapes or own
            if path.is_dir():
                records.append(_checked(CheckpointRecord.load(path), files, path))
            else:
                records.append(_measure(checkpoint, corpus, probe, sites, path=path, device=device))
            advance(1, step=checkpoint.step)
    return records


def _measure(
    checkpoint: Checkpoint,
    corpus: Corpus,
    probe: Probe,
    sites: Sequence[str],
    *,
    path: Path,
    device: str,
) -> CheckpointRecord:
    bridge = load(checkpoint.ref, revision=checkpoint.revision, device=device)
    named = resolve_sites(bridge, list(sites) or NEURONS)
    for site in named.sites:
        expert_size(site.width, probe.n_experts)
    return measure_checkpoint(bridge, corpus, named.names, probe, step=checkpoint.step, path=path)


def _checked(record: CheckpointRecord, files: Path, path: Path) -> CheckpointRecord:
    if record.model_hash != model_hash(files):
        raise Mismatch(
            f"{path} was measured on other weights than {files} now holds: delete it to measure "
            "that checkpoint again"
        )
    return record


def _stability(
    records: Sequence[CheckpointRecord],
    probe: Probe,
    reference: int,
    n_random: int,
    corpus: Corpus,
    settings: dict[str, Any],
    command: str,
) -> Stability:
    place = [record.step for record in records].index(reference)
    first = records[0]
    curves = [
        layer_curves(records, layer, reference=place, n_random=n_random, seed=probe.seed)
        for layer in range(len(first.sparsity.sites))
    ]
    scored = first.layer(0)
    return Stability(
        setup=Setup(
            sites=first.sparsity.sites,
            steps=tuple(record.step for record in records),
            functions=tuple(function.name for function in scored.scores.functions),
            n_experts=probe.n_experts,
            reference_step=reference,
            rule=str(first.sparsity.rule),
            n_tokens=first.sparsity.n_tokens,
            n_sequences=first.sparsity.n_sequences,
            n_coactive=len(scored.coactive),
            model_hashes=tuple(record.model_hash for record in records),
        ),
        **{name: np.stack([curve[name] for curve in curves]) for name in curves[0]},
        provenance=Provenance.collect(
            command,
            model_hash=records[-1].model_hash,
            corpus_hash=corpus.hash,
            seed=probe.seed,
            settings={**settings, "n_random": n_random, "reference": reference},
        ),
    )


@contextmanager
def _workspace(directory: Path, settings: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """The folder of finished checkpoints in `directory`, which says for which settings it is."""
    marker = directory / MARKER
    begins = not marker.is_file() or overwrite
    if begins:
        check_out(directory, replace=overwrite)
        with atomic_directory(directory, replace=overwrite) as made:
            write_json(made / MARKER, {"schema": SCHEMA, "settings": settings})
    else:
        _refuse_other_settings(marker, settings)
    kept = directory / "checkpoints"
    kept.mkdir(exist_ok=True)
    try:
        yield kept
    except InterpError:
        # What was refused before its first checkpoint leaves nothing to go on with.
        if begins and not any(kept.iterdir()):
            shutil.rmtree(directory)
        raise


def _refuse_other_settings(marker: Path, settings: dict[str, Any]) -> None:
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{marker} is not JSON ({error}): choose another --out") from error
    if content.get("schema") != SCHEMA:
        raise BadInput(f"{marker.parent} is {content.get('schema')!r}: choose another --out")
    had = content.get("settings", {})
    differing = sorted(key for key in settings if had.get(key) != settings[key])
    if differing:
        key = differing[0]
        raise Mismatch(
            f"{marker.parent} was begun with {key} {had.get(key)!r}, not {settings[key]!r}: choose "
            "another --out, or pass --overwrite to start again"
        )
