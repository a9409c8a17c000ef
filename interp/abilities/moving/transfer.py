"""Transfer: add abilities and languages to a base model, and write the model that results."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interp.abilities.moving.addition import Addition
from interp.abilities.moving.compatibility import check_lineage
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.moving.recipe import (
    Selection,
    SimilaritySupport,
    TransferRecipe,
    check_finite,
    check_share_of_tensors,
)
from interp.abilities.moving.transfer_inputs import fit_inputs
from interp.abilities.moving.transfer_output import TransferOutput
from interp.abilities.moving.transfer_plan import TransferPlan
from interp.abilities.moving.transferred import Transferred
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import CHUNK, THREADS
from interp.abilities.streaming.writer import SYNC_EVERY
from interp.abilities.undoing.undo_writer import UndoMode
from interp.models.hub import directory_of
from interp.models.identity import ModelIdentity, model_identity
from interp.models.weight_files import float_format
from interp.results.atomic import check_out
from interp.results.errors import BadInput


def transfer(
    base: str | Path,
    weights: AbilityWeights | str | Path | Sequence[AbilityWeights | str | Path],
    out: str | Path,
    *,
    language: str | Path | Sequence[str | Path] | None = None,
    mu: float | Sequence[float] = 1.0,
    gamma: float | Sequence[float] = 1.0,
    eta: float = 1.0,
    eta_rest: float | None = None,
    k2: float = 1.0,
    select: Selection = "least",
    sim_support: SimilaritySupport = "mask",
    sim_absolute: bool = False,
    types: Sequence[str] | None = None,
    seed: int = 0,
    dtype: str | None = None,
    force: bool = False,
    cast: bool = False,
    saturate: bool = False,
    skip_embeddings: bool = False,
    undo: UndoMode = "auto",
    overwrite: bool = False,
    hash_cache: Path | None = None,
    chunk: int = CHUNK,
    threads: int = THREADS,
    sync_every: int = SYNC_EVERY,
) -> Transferred:
    """base + gamma R(A) + eta R_Lang, written to `out` as a whole Hugging Face directory.

    Formula (5) of the MAET reading (2410.07825): R_Lang = sum_j mu_j (language_j - base); the
    ability goes into the `k2` share of its tensors that `select` names, all other tensors get
    `eta_rest` (as `eta` if not given) times R_Lang. Sums are float32 (float64 for float64),
    rounded once; with every coefficient zero the output is the base byte for byte. Models are
    streamed, never loaded; killed and called again, it goes on. `out` keeps the base's bits where
    they change, for `undo`; with "auto" only the base's root where more than half do.

    The weights must belong to `base`, or `base` must descend from theirs by its own `interp.json`;
    `force` adds them to anything of their shape. `types` restricts the abilities to tensors that
    do one thing (q, k, v, o, gate, up, down, norm, embed, head). Token rows are matched by their
    strings where vocabularies differ; rows of padding and of tokens that a side lacks stay as they
    are, with `skip_embeddings` all do. `saturate` clamps sums too large for the number format.

    Raises Mismatch where models, vocabularies or tied tensors do not fit or a sum overflows,
    CorruptFile on NaN, infinity or a truncated shard, BadInput if `out` exists and not `overwrite`,
    Incomplete when the disk is full.
    """
    out, out_format = Path(out), None if dtype is None else float_format(dtype)
    check_out(out, replace=overwrite)
    abilities = [_opened(one) for one in _several(weights)]
    languages = _several(language)
    check_finite("eta", eta)
    check_finite("eta_rest", eta if eta_rest is None else eta_rest)
    recipe = TransferRecipe(
        gamma=_each(gamma, len(abilities), "gamma"),
        mu=_each(mu, len(languages), "mu"),
        eta=eta,
        eta_rest=eta if eta_rest is None else eta_rest,
        k2=check_share_of_tensors(k2),
        select=select,
        sim_support=sim_support,
        sim_absolute=sim_absolute,
        seed=seed,
        types=None if types is None else tuple(types),
    )
    with ExitStack() as files:
        models = [files.enter_context(Checkpoint(directory_of(ref))) for ref in (base, *languages)]
        inputs = fit_inputs(
            models, abilities, recipe, skip_embeddings=skip_embeddings, cast=cast, chunk=chunk
        )
        plan = TransferPlan(
            base=models[0],
            abilities=inputs.abilities,
            languages=inputs.languages,
            recipe=recipe,
            left_out=inputs.left_out,
            saturate=saturate,
        )
        identities = [model_identity(model.directory, cache=hash_cache) for model in models]
        check_lineage(models[0], identities[0], abilities, force=force)
        similarity = plan.similarities(chunk=chunk, threads=threads)
        selected = plan.selected(similarity)
        model_files = ModelFiles(models[0], dtype=out_format)
        exact = _exact(recipe, abilities, identities[0], model_files)
        addition = plan.addition(selected, model_files, patched=exact)
        output = TransferOutput(
            out=out,
            base=identities[0],
            base_name=str(base),
            made_by=_made_by(recipe, abilities, identities, addition),
            undo=undo,
            replace=overwrite,
            chunk=chunk,
            threads=threads,
            sync_every=sync_every,
        )
        written = output.write(addition, model_files)
        return Transferred(
            path=out,
            root=written.root,
            n=identities[0].n,
            changed=written.changed,
            selected=selected,
            similarity=similarity,
            with_weights=tuple(len(one.weights.tensors) for one in inputs.abilities),
            null=plan.null(selected, similarity),
            rows_left=inputs.rows_left,
            saturated=addition.saturated.n if addition.saturated is not None else 0,
            undo=written.undo.kind,
            undo_bytes=written.undo_bytes,
        )


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _opened(weights: AbilityWeights | str | Path) -> AbilityWeights:
    if isinstance(weights, AbilityWeights):
        return weights
    return AbilityWeights.load(Path(weights))


def _each(value: float | Sequence[float], n: int, name: str) -> tuple[float, ...]:
    values = (value,) * n if isinstance(value, int | float) else tuple(value)
    if len(values) != n:
        raise BadInput(f"{len(values)} values of {name} for {n}: give one each, or one for all")
    check_finite(name, *values)
    return tuple(float(one) for one in values)


def _exact(
    recipe: TransferRecipe,
    abilities: list[AbilityWeights],
    base: ModelIdentity,
    files: ModelFiles,
) -> bool:
    """Whether base + R(A) is the ability model, whose bits the patch list then restores."""
    return (
        len(abilities) == 1
        and abilities[0].recipe.exact
        and abilities[0].base.root == base.root
        and recipe.gamma == (1.0,)
        and not any(recipe.mu)
        and files.dtype is None
        and all(t.dtype == files.base.span(n).dtype for n, t in abilities[0].tensors.items())
    )


def _made_by(
    recipe: TransferRecipe,
    abilities: list[AbilityWeights],
    identities: list[ModelIdentity],
    addition: Addition,
) -> dict[str, Any]:
    return {
        "made_by": "transfer",
        **recipe.to_json(),
        "base": identities[0].root,
        "languages": [identity.root for identity in identities[1:]],
        "abilities": [
            {"data_sha256": one.digest, "base": one.base.root, **one.recipe.to_json()}
            for one in abilities
        ],
        "dtype": addition.dtype,
        "saturate": addition.saturated is not None,
        "added_to": sorted(
            name for name, terms in addition.terms.items() if any((*terms.gamma, *terms.language))
        ),
    }
