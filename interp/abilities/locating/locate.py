"""Locate: which entries or units of a model an ability is written in, by a locator of choice."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from interp.abilities.locating.at_rest import locate_at_rest
from interp.abilities.locating.learnt_gates import GATE_STEPS, gate_report
from interp.abilities.locating.locator import Locator
from interp.abilities.locating.locators import locator_named
from interp.abilities.locating.mask_made import check_level, mask_of
from interp.abilities.locating.ranking import (
    EntryRanking,
    Sources,
    UnitRanking,
    ranking_of,
)
from interp.abilities.locating.request import AT_REST, check_request
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_report import agreement, with_supports
from interp.abilities.masks.overlap import overlap
from interp.abilities.masks.random_mask import locating_provenance
from interp.abilities.masks.selection import Scope
from interp.abilities.training.masked_training import TrainingRecipe
from interp.abilities.units.unit_choice import SharedKeys
from interp.abilities.units.unit_scores import UnitScore
from interp.models.examples import TrainingExamples, read_examples
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput
from interp.results.progress import progress

WARM_UP = TrainingRecipe(steps=100, lr=1e-3)
"""The short training that `change` and its kin compare the base with."""
_DATA = {
    *("change", "general_change", "gradients", "inputs", "gates"),
    *("activations", "example_activations"),
}


def locate(
    base: str | Path,
    examples: str | Path | None = None,
    *,
    locator: str = "change",
    share: float = 0.05,
    general: str | Path | None = None,
    scope: Scope = "global",
    rank_embeddings: bool = False,
    level: str = "entry",
    unit_score: UnitScore = "mean",
    kv: SharedKeys = "strict",
    languages: Mapping[str, str | Path] | None = None,
    language: str | None = None,
    max_examples: int | None = None,
    split_halves: bool = True,
    training: TrainingRecipe = WARM_UP,
    device: str = "cpu",
) -> NeuronMask:
    """The share of a model's entries, or units, that a locator scores highest on examples (jsonl).

    At level "entry" the share is of single numbers; at "neuron", "q_head", "kv_head", "head",
    "layer" and "tensor" it is of units of that kind, scored by the `unit_score` (mean, l2, max) of
    their entries unless the locator scores units itself. Whole heads take the key and value head
    of their group if all of its heads are chosen (`kv="strict"`), or if "any" is.

    Tables of tokens and positions are left out and held still unless `rank_embeddings`: a global
    ranking otherwise spends much of its entries on rows of the language's own tokens. Of single
    tensors it ranks norms and biases of outputs too. The share is of what is ranked; under
    `scope="tensor"` of every tensor, or of every layer's units. `languages` are texts by language
    for locators of language neurons, `language` the one asked for; its text stands in for examples
    that are None. `max_examples` takes so many of the examples, drawn by the training's seed.
    `split_halves` scores both halves of the examples too and says how far they agree; it triples
    the work. Without examples `magnitude` and `random` read the base in pieces, as
    `locate_at_rest`.
    """
    check_request(locator=locator, level=level, share=share)
    if locator in AT_REST and examples is None and not languages:
        return locate_at_rest(
            base,
            locator=locator,
            share=share,
            scope=scope,
            rank_embeddings=rank_embeddings,
            level=level,
            unit_score=unit_score,
            kv=kv,
            seed=training.seed,
        )
    chosen = locator_named(locator)
    check_level(chosen, level)
    _check_data(examples, languages or {}, language)
    trained = read_trainable(directory_of(base), device=device)
    tokenizer = trained.tokenizer()
    sources = Sources(
        trained=trained,
        general=None if general is None else read_examples(Path(general), tokenizer),
        languages={n: read_examples(Path(p), tokenizer) for n, p in (languages or {}).items()},
        language=language,
        recipe=replace(training, freeze_embeddings=not rank_embeddings),
    )
    data = _examples(examples, sources.languages, language, tokenizer)
    if max_examples is not None:
        data = data.sample(max_examples, seed=training.seed)
    ranking = ranking_of(
        chosen,
        sources,
        level=level,
        share=share,
        scope=scope,
        rank_embeddings=rank_embeddings,
        how=unit_score,
        kv=kv,
    )
    halved = split_halves and bool(chosen.needs & _DATA)
    scores = _scores(ranking, [data, *(data.halves() if halved else ())], sources.recipe)
    settings = _settings(ranking, data, rank_embeddings=rank_embeddings)
    settings |= {} if max_examples is None else {"max_examples": max_examples}
    identity = model_identity(trained.directory)
    mask = mask_of(
        ranking.choose(scores[0]),
        settings=settings,
        identity=identity,
        provenance=locating_provenance(settings, identity, data.hash, sources.recipe.seed),
    )
    return replace(mask, recipe={**mask.recipe, "report": _report(mask, ranking, scores, data)})


def _check_data(
    examples: str | Path | None, texts: Mapping[str, str | Path], language: str | None
) -> None:
    """Raise BadInput where there is nothing to locate by."""
    if examples is not None:
        return
    if language is not None and language not in texts:
        raise BadInput(f"no text of language {language!r}: there are {', '.join(texts) or 'none'}")
    if not texts:
        raise BadInput("nothing to locate by: give training examples")


def _examples(
    examples: str | Path | None,
    texts: Mapping[str, TrainingExamples],
    language: str | None,
    tokenizer: PreTrainedTokenizerBase,
) -> TrainingExamples:
    """The examples of a file, or the text of the language that is asked for."""
    if examples is not None:
        return read_examples(Path(examples), tokenizer)
    return texts[language or next(iter(texts))]


def _settings(
    ranking: EntryRanking | UnitRanking, data: TrainingExamples, *, rank_embeddings: bool
) -> dict[str, Any]:
    """What makes the same mask again, as a mask's recipe names it."""
    sources = ranking.sources
    settings = {
        "locator": ranking.locator.name,
        "share": ranking.share,
        "scope": ranking.scope,
        "rank_embeddings": rank_embeddings,
        "training": asdict(sources.recipe),
        "examples": data.hash,
        "general": None if sources.general is None else sources.general.hash,
    }
    if isinstance(ranking, UnitRanking):
        settings |= {"level": ranking.kind, "unit_score": ranking.how, "kv": ranking.kv}
    if sources.languages:
        settings["languages"] = {name: text.hash for name, text in sources.languages.items()}
        settings["language"] = sources.language
    return settings


def _report(
    mask: NeuronMask,
    ranking: EntryRanking | UnitRanking,
    scores: list[Any],
    data: TrainingExamples,
) -> dict[str, Any]:
    """What the mask shares with the largest weights, and how steady it is over halves of data."""
    by_size = with_supports(mask, ranking.by_magnitude())
    report: dict[str, Any] = {"overlap_with_magnitude": overlap(mask, by_size).to_json()}
    if len(scores) > 1:
        report["split_half"] = agreement(mask, ranking, scores[1:])
    if "gates" in ranking.locator.needs and mask.units is not None:
        report["gates"] = gate_report(
            ranking.sources.trained,
            data,
            kind=mask.units.kind,
            open_probability=scores[0],
            chosen=mask.units.chosen,
            seed=ranking.sources.recipe.seed,
        )
    return report


def _scores(
    ranking: EntryRanking | UnitRanking, samples: list[TrainingExamples], recipe: TrainingRecipe
) -> list[Any]:
    """The scores of every sample, behind one progress bar."""
    locator, total = ranking.locator, _work(ranking.locator, samples, recipe)
    if "activation_rates" in locator.needs:
        total += len(samples) * sum(len(text) for text in ranking.sources.languages.values())
    with progress(f"locating by {locator.name}", total=total, unit=_unit(locator)) as advance:
        return [ranking.score(sample, advance) for sample in samples]


def _unit(locator: Locator) -> str:
    return "steps" if locator.needs & {"change", "gates"} else "examples"


def _work(
    locator: Locator,
    samples: list[TrainingExamples],
    recipe: TrainingRecipe,
) -> int:
    """Steps or examples of all scorings together, for the progress bar."""
    if "change" in locator.needs:
        each = recipe.steps * (2 if "general_change" in locator.needs else 1)
        return each * len(samples)
    if "gates" in locator.needs:
        return GATE_STEPS * recipe.steps * len(samples)
    passes = len(locator.needs & {"gradients", "inputs", "activations", "example_activations"})
    return passes * sum(len(sample) for sample in samples)
