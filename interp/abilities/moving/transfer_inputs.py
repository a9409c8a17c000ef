"""What a transfer adds, once it was found to fit the base: the door of the command."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from interp.abilities.moving.ability_chunks import AbilityChunks
from interp.abilities.moving.compatibility import (
    check_ability,
    check_same_tensors,
    check_tied,
    vocabulary_tensors,
)
from interp.abilities.moving.naming import match_names, matched_weights
from interp.abilities.moving.recipe import TransferRecipe
from interp.abilities.moving.row_map import RowMap
from interp.abilities.moving.tensor_types import of_types
from interp.abilities.moving.vocabularies import table_rows
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.models.tokenizer import tokenizer_digest


@dataclass(frozen=True, kw_only=True)
class TransferInputs:
    """Everything that is added, in the base's names and rows."""

    abilities: list[AbilityChunks]
    languages: list[Checkpoint]
    left_out: frozenset[str]
    """Tensors that stay as in the base whatever is added."""
    rows_left: int
    """Rows of the base's token tables that stay: padding, and tokens that another side lacks."""


def fit_inputs(
    models: Sequence[Checkpoint],
    abilities: Iterable[AbilityWeights],
    recipe: TransferRecipe,
    *,
    skip_embeddings: bool,
    cast: bool,
    chunk: int,
) -> TransferInputs:
    """The base's partners under its names. `models` are the base and the languages, in order.

    Raises Mismatch, naming tensor and file, where anything does not fit.
    """
    base, languages = models[0], list(models[1:])
    tables = vocabulary_tensors(base.spans)
    for model in languages:
        match_names(base, model)
        check_same_tensors(base, model, cast=cast, tables=tables)
    skipped = frozenset(tables if skip_embeddings else ())
    chosen = [_restricted(base, one, recipe, tables, skipped) for one in abilities]
    if not skip_embeddings:
        for model, mu in zip(languages, recipe.mu, strict=True):
            model.rows = _language_rows(base, model) if mu else {}
    chunks = [
        AbilityChunks(one, chunk=chunk, rows={} if skip_embeddings else _ability_rows(base, one))
        for one in chosen
    ]
    if not skip_embeddings:
        check_tied(base, languages, chosen)
    maps = [rows for side in (*languages, *chunks) for rows in side.rows.values()]
    return TransferInputs(
        abilities=chunks,
        languages=languages,
        left_out=skipped,
        rows_left=max((rows.n_alone for rows in maps), default=0),
    )


def _restricted(
    base: Checkpoint,
    ability: AbilityWeights,
    recipe: TransferRecipe,
    tables: list[str],
    skipped: frozenset[str],
) -> AbilityWeights:
    """The ability in the base's names, with the tensors that the recipe adds to."""
    matched = matched_weights(base, ability)
    check_ability(base, matched, tables=tables)
    names = [name for name, n in matched.counts_by_tensor().items() if n and name not in skipped]
    if recipe.types is not None:
        names = of_types(names, recipe.types)
    return replace(matched, tensors={name: matched.tensors[name] for name in names})


def _language_rows(base: Checkpoint, model: Checkpoint) -> dict[str, RowMap]:
    return table_rows(
        base,
        {name: span.shape for name, span in model.spans.items()},
        tokenizer=model.directory,
        digest=tokenizer_digest(model.directory),
        where=str(model.directory),
    )


def _ability_rows(base: Checkpoint, ability: AbilityWeights) -> dict[str, RowMap]:
    file: Path | None = ability.tokenizer
    return table_rows(
        base,
        {name: tensor.support.shape for name, tensor in ability.tensors.items()},
        tokenizer=None if file is None else file.parent,
        digest=ability.base.tokenizer_digest,
        where="the ability",
    )
