"""Follow a series of checkpoints: heads chosen at the last one, traced on other sequences."""

from collections.abc import Sequence
from pathlib import Path

from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.emergence.change import LEAST_CHECKPOINTS
from interp.heads.emergence.checkpoint import Plan, trace
from interp.heads.emergence.choosing import choose, random_groups
from interp.heads.emergence.concluding import concluded
from interp.heads.emergence.levels import level_curves
from interp.heads.emergence.result import HeadEmergence
from interp.heads.emergence.tracing import Questions
from interp.heads.icl.levels import LevelCurves
from interp.heads.relations.choices import RelationChoices, choices_of
from interp.heads.relations.events import plan_events
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.load import load
from interp.models.series import Checkpoint, checkpoints
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance


def follow_heads(
    series: str,
    relations: RelationCorpus | str | Path,
    *,
    steps: Sequence[int] | None = None,
    icl: LevelCurves | Path | str | None = None,
    preset: str | RelationChoices = "relation",
    heads: Sequence[str] = (),
    top: int = 3,
    n_random: int = 5,
    per_triplet: int = 4,
    length: int | None = None,
    min_coverage: float = 0.5,
    draws: int = 2000,
    bootstrap: int = 1000,
    batch_size: int = 16,
    seed: int = 0,
    device: str = "cpu",
    command: str = "interp.follow_heads",
) -> HeadEmergence:
    """When the heads of each relation form over training, against when the model answers.

    `series` is what `checkpoints` takes. At the last checkpoint, on one half of the documents of
    `relations`, the `top` significant heads of each relation are chosen (or `heads` are given);
    every checkpoint is then measured on the other half. Levels are the answers to the relations'
    own questions, and those of `icl`, measured at the same checkpoints. `length` and `min_coverage`
    are those of `open_relations`. With `n_random` above 0
    the answers are read again without the heads, and without as many random heads of their layers.

    Raises BadInput for a series of one checkpoint, an unknown step and where no head is found,
    Mismatch where `icl` is of other checkpoints.
    """
    followed = _followed(series, steps)
    directories = [directory_of(c.ref, revision=c.revision) for c in followed]
    hashes = tuple(model_hash(directory) for directory in directories)
    at = tuple(checkpoint.step for checkpoint in followed)
    levels = icl if isinstance(icl, LevelCurves) or icl is None else LevelCurves.load(icl)
    asked = [] if levels is None else level_curves(levels, at, hashes)
    corpus = (
        relations
        if isinstance(relations, RelationCorpus)
        else open_relations(
            relations, str(directories[-1]), length=length, min_coverage=min_coverage
        )
    )
    choices = choices_of(preset)
    provenance = Provenance.collect(
        command,
        model_hash=hashes[-1],
        corpus_hash=corpus.hash,
        seed=seed,
        settings={
            "choices": choices.to_json(),
            "heads": list(heads),
            "top": top,
            "n_random": n_random,
            "per_triplet": per_triplet,
            "length": corpus.length,
            "draws": draws,
            "bootstrap": bootstrap,
            "model_hashes": list(hashes),
            "icl": None if levels is None else levels.provenance.to_json()["settings"],
        },
    )
    last = load(str(directories[-1]), device=device)
    choosing, tracing = corpus.halves(seed)
    picked, chosen = choose(
        last, choosing, choices, named=heads, top=top, draws=draws, seed=seed,
        batch_size=batch_size, provenance=provenance,
    )  # fmt: skip
    plan = Plan(
        choosing=choosing,
        questions=Questions.of(tracing, per_triplet=per_triplet, seed=seed),
        tracing=plan_events(tracing, choices, seed=seed),
        heads=picked,
        random=random_groups(last, picked, n_random, seed),
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        provenance=provenance,
    )
    traced = []
    with progress("checkpoints", total=len(followed), unit="checkpoints") as advance:
        for directory, checkpoint in zip(directories, followed, strict=True):
            traced.append(trace(load(str(directory), device=device), plan))
            advance(1, step=checkpoint.step)
    return concluded(
        series, at, hashes, traced, plan=plan, chosen=chosen, asked=asked, bootstrap=bootstrap
    )


def _followed(series: str, steps: Sequence[int] | None) -> list[Checkpoint]:
    found = checkpoints(series)
    if steps is not None:
        missing = sorted(set(steps) - {checkpoint.step for checkpoint in found})
        if missing:
            there = ", ".join(str(checkpoint.step) for checkpoint in found)
            raise BadInput(f"{series} has no step {missing[0]}: it has {there}")
        found = [checkpoint for checkpoint in found if checkpoint.step in set(steps)]
    if len(found) < 2:
        raise BadInput(
            f"{series} has {len(found)} checkpoint here: emergence takes at least 2, and a change "
            f"point {LEAST_CHECKPOINTS}"
        )
    return found
