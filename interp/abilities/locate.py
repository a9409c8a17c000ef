"""Locate: which entries of a model an ability is written in, by a locator of one's choice."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.abilities.evidence import gather_evidence
from interp.abilities.locator import Locator, given
from interp.abilities.locators import locator_named
from interp.abilities.mask import NeuronMask
from interp.abilities.mask_report import agreement, with_supports
from interp.abilities.masked_training import TrainingRecipe
from interp.abilities.overlap import overlap
from interp.abilities.random_mask import locating_provenance
from interp.abilities.selection import Scope, Selection, select, select_by
from interp.abilities.streaming.change import absolute_change
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.models.examples import TrainingExamples, read_examples
from interp.models.hub import directory_of
from interp.models.identity import ModelIdentity, model_identity
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput, Mismatch, Unsupported
from interp.results.progress import progress
from interp.results.provenance import Provenance

LEVELS = ("entry",)
WARM_UP = TrainingRecipe(steps=100, lr=1e-3)
"""The short training that `change` and its kin compare the base with."""
_DATA = {"change", "general_change", "gradients", "inputs"}


def locate(
    base: str | Path,
    examples: str | Path,
    *,
    locator: str = "change",
    share: float = 0.05,
    general: str | Path | None = None,
    scope: Scope = "global",
    rank_embeddings: bool = False,
    level: str = "entry",
    split_halves: bool = True,
    training: TrainingRecipe = WARM_UP,
    device: str = "cpu",
) -> NeuronMask:
    """The share of a model's entries that a locator scores highest on training examples (jsonl).

    Tables of tokens and positions are left out and held still unless `rank_embeddings`: a global
    ranking otherwise spends much of its entries on rows of the language's own tokens. The share is
    of the entries that are ranked. `split_halves` scores both halves of the examples too and says
    how far they agree; it triples the work.
    """
    chosen = locator_named(locator)
    check_request(level=level, share=share)
    directory = directory_of(base)
    trained = read_trainable(directory, device=device)
    tokenizer = trained.tokenizer()
    data = read_examples(Path(examples), tokenizer)
    of_general = None if general is None else read_examples(Path(general), tokenizer)
    recipe = replace(training, freeze_embeddings=not rank_embeddings)
    names = [
        n for n in sorted(trained.parameters) if rank_embeddings or n not in trained.embeddings
    ]
    settings = {
        "locator": locator,
        "share": share,
        "scope": scope,
        "rank_embeddings": rank_embeddings,
        "training": asdict(recipe),
        "examples": data.hash,
        "general": None if of_general is None else of_general.hash,
    }
    halved = split_halves and bool(chosen.needs & _DATA)
    samples = [data, *(data.halves() if halved else ())]
    with progress(
        f"locating by {locator}",
        total=_work(chosen, samples, recipe),
        unit=_unit(chosen),
    ) as advance:
        scores = [
            score_tensors(
                trained,
                chosen,
                names=names,
                examples=sample,
                general=of_general,
                recipe=recipe,
                on_progress=advance,
            )
            for sample in samples
        ]
    identity = model_identity(directory)
    mask = mask_of(
        select_by(chosen, scores[0], share=share, scope=scope),
        settings=settings,
        identity=identity,
        provenance=locating_provenance(settings, identity, data.hash, recipe.seed),
    )
    magnitude = locator_named("magnitude")
    sizes = {name: trained.parameters[name].detach().abs() for name in names}
    by_size = with_supports(mask, select_by(magnitude, sizes, share=share, scope=scope))
    report: dict[str, Any] = {"overlap_with_magnitude": overlap(mask, by_size).to_json()}
    if halved:
        report["split_half"] = agreement(mask, chosen, scores[1:], share=share, scope=scope)
    return replace(mask, recipe={**mask.recipe, "report": report})


def locate_between(
    base: str | Path,
    trained: Path,
    *,
    share: float = 0.05,
    scope: Scope = "global",
    rank_embeddings: bool = False,
) -> NeuronMask:
    """The entries that moved most between two directories (`change`), read in pieces.

    For a short training that was done elsewhere: no model is loaded. Save it in float32, or small
    changes vanish in the rounding.
    """
    check_request(level="entry", share=share)
    directory = directory_of(base)
    identity = model_identity(directory)
    with Checkpoint(directory) as before, Checkpoint(trained) as after:
        if {n: s.shape for n, s in before.spans.items()} != {
            n: s.shape for n, s in after.spans.items()
        }:
            raise Mismatch(f"{trained} does not have the tensors of {directory}: no change to rank")
        shapes = {
            name: span.shape
            for name, span in before.spans.items()
            if rank_embeddings or not is_embedding(name)
        }
        selection = select(absolute_change(before, after), shapes, share=share, scope=scope)
    settings = {
        "locator": "change",
        "share": share,
        "scope": scope,
        "rank_embeddings": rank_embeddings,
        "trained": model_identity(trained).root,
    }
    provenance = locating_provenance(settings, identity, None, None)
    return mask_of(selection, settings=settings, identity=identity, provenance=provenance)


def score_tensors(
    trained: TrainableModel,
    locator: Locator,
    *,
    names: list[str],
    examples: TrainingExamples,
    general: TrainingExamples | None = None,
    recipe: TrainingRecipe,
    on_progress: Callable[..., None] | None = None,
) -> dict[str, Float[Tensor, "..."]]:
    """The locator's score of every entry of the named tensors; the model is left as it was."""
    evidence = gather_evidence(
        trained,
        locator,
        names=names,
        examples=examples,
        general=general,
        recipe=recipe,
        on_progress=on_progress,
    )
    return {name: given(locator.score)(evidence[name]) for name in names}


def mask_of(
    selection: Selection,
    *,
    settings: Mapping[str, Any],
    identity: ModelIdentity,
    provenance: Provenance,
) -> NeuronMask:
    """The mask of a selection, with the threshold of its matrices."""
    return NeuronMask(
        tensors=selection.supports,
        level="entry",
        recipe={**settings, "thresholds": selection.thresholds},
        base=identity,
        provenance=provenance,
        threshold=selection.thresholds.get("matrices"),
        histogram=selection.histogram,
    )


def check_request(*, level: str, share: float) -> None:
    """Raise Unsupported for a level we do not rank, BadInput for a share outside [0, 1]."""
    if level not in LEVELS:
        raise Unsupported(f"level {level!r}: masks are of single entries, level 'entry'")
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"a share of {share}: expected a number from 0 to 1, as 0.05 for 5%")


def is_embedding(name: str) -> bool:
    """Whether a tensor's name is that of a table of tokens or positions, or of the unembedding."""
    known = ("embed_tokens", "wte", "wpe", "embed_in", "embed_out", "lm_head", "shared")
    return name.endswith(tuple(f"{table}.weight" for table in known))


def _unit(locator: Locator) -> str:
    return "steps" if "change" in locator.needs else "examples"


def _work(
    locator: Locator,
    samples: list[TrainingExamples],
    recipe: TrainingRecipe,
) -> int:
    """Steps or examples of all scorings together, for the progress bar."""
    if "change" in locator.needs:
        each = recipe.steps * (2 if "general_change" in locator.needs else 1)
        return each * len(samples)
    passes = len(locator.needs & {"gradients", "inputs"})
    return passes * sum(len(sample) for sample in samples)
