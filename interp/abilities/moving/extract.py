"""Extract: the weights of an ability, as differences to the base at the entries of a mask."""

import shutil
from contextlib import ExitStack
from pathlib import Path

from interp.abilities.masks.arrays import map_arrays
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.support import Support
from interp.abilities.moving.compatibility import (
    check_same_tensors,
    check_shape,
    check_tied_mask,
    check_vocabulary,
    is_float,
    vocabulary_tensors,
)
from interp.abilities.moving.extraction import write_weights
from interp.abilities.moving.extraction_plan import ExtractionPlan
from interp.abilities.moving.naming import match_names
from interp.abilities.moving.recipe import ExtractionRecipe, check_finite
from interp.abilities.moving.weights import (
    SCHEMA,
    TOKENIZER,
    AbilityTensor,
    AbilityWeights,
    ability_header,
)
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import CHUNK, THREADS
from interp.abilities.streaming.writer import SYNC_EVERY, StagedDirectory
from interp.models.hub import directory_of
from interp.models.identity import ModelIdentity, model_identity
from interp.models.tokenizer import tokenizer_digest
from interp.results.atomic import check_out
from interp.results.errors import BadInput, Mismatch
from interp.results.finding import DATA, write_header
from interp.results.hashing import sha256_bytes, sha256_json
from interp.results.provenance import Provenance

DEFAULT_BETA = 0.25


def extract(
    base: str | Path,
    ability: str | Path,
    out: str | Path,
    *,
    general: str | Path | None = None,
    mask: NeuronMask | str | Path | None = None,
    alpha: float = 1.0,
    beta: float | None = None,
    overwrite: bool = False,
    cast: bool = False,
    hash_cache: Path | None = None,
    chunk: int = CHUNK,
    threads: int = THREADS,
    sync_every: int = SYNC_EVERY,
) -> AbilityWeights:
    """R(A) = M * [alpha (ability - base) - beta (general - base)], written to `out`.

    Formula (2) of the MAET reading (2410.07825): `ability` was trained on the ability in one
    language, `general` on that language alone, both from `base`; `beta` defaults to 0.25 with a
    general control and to 0 without. Models are streamed, never loaded. With alpha 1 and beta 0
    the weights carry a patch list, so adding them to the base gives the ability model bit for bit
    on the mask. Killed and called again, it goes on. Raises Mismatch if the models or the mask do
    not belong together, CorruptFile on NaN, infinity or a truncated shard, BadInput if `out`
    exists and not `overwrite`.
    """
    beta = _resolve_beta(beta, general)
    check_finite("alpha", alpha)
    check_finite("beta", beta)
    out = Path(out)
    check_out(out, replace=overwrite)
    chosen = mask if isinstance(mask, NeuronMask | None) else NeuronMask.load(Path(mask))
    with ExitStack() as files:
        models = [
            files.enter_context(Checkpoint(directory_of(ref)))
            for ref in (base, ability, general if beta else None)
            if ref is not None
        ]
        supports = _supports(models, chosen, cast=cast)
        identities = [model_identity(model.directory, cache=hash_cache) for model in models]
        if chosen is not None and chosen.base.root != identities[0].root:
            raise Mismatch(
                f"the mask is of the model {chosen.base.root[:12]}, {models[0].directory} is "
                f"{identities[0].root[:12]}: locate on this base"
            )
        recipe = ExtractionRecipe(
            alpha=alpha,
            beta=beta,
            ability=identities[1].root,
            general=identities[2].root if beta else None,
            mask=chosen.recipe if chosen is not None else None,
        )
        plan = ExtractionPlan(models=models, supports=supports, recipe=recipe, chunk=chunk)
        staged = StagedDirectory(
            out,
            job=_job(plan, identities[0]),
            sizes={DATA: plan.layout.size},
            replace=overwrite,
            sync_every=sync_every,
        )
        with staged:
            write_weights(staged, plan, threads=threads)
            _write_header(staged, plan, identities[0])
            _keep_tokenizer(staged, plan)
            staged.publish()
    return AbilityWeights.load(out, verify=False)


def _keep_tokenizer(staged: StagedDirectory, plan: ExtractionPlan) -> None:
    """What the rows of a token table stand for, should they go into another vocabulary."""
    file = plan.models[0].directory / TOKENIZER
    if file.is_file() and vocabulary_tensors(plan.supports):
        shutil.copyfile(file, staged.path / TOKENIZER)


def _resolve_beta(beta: float | None, general: str | Path | None) -> float:
    if beta is None:
        return DEFAULT_BETA if general is not None else 0.0
    if beta and general is None:
        raise BadInput(f"beta is {beta} and there is no general control: pass --general, or beta 0")
    return beta


def _supports(
    models: list[Checkpoint], mask: NeuronMask | None, *, cast: bool
) -> dict[str, Support]:
    base = models[0]
    for other in models[1:]:
        match_names(base, other)
        check_same_tensors(base, other, cast=cast)
    floats = {name: span for name, span in base.spans.items() if is_float(span)}
    if mask is None:
        supports = {name: Support.everything(span.shape) for name, span in floats.items()}
    else:
        supports = {name: support for name, support in mask.tensors.items() if support.count}
    for name, support in supports.items():
        if name not in floats:
            raise Mismatch(f"the mask has entries in {name!r}, no float tensor of {base.directory}")
        check_shape(floats[name], support.shape, where="the mask")
    check_tied_mask(base, supports)
    for other in models[1:]:
        digest = tokenizer_digest(other.directory)
        check_vocabulary(base, digest, supports, where=str(other.directory))
    return supports


def _job(plan: ExtractionPlan, base: ModelIdentity) -> str:
    return sha256_json(
        {
            "schema": SCHEMA,
            "base": base.root,
            "recipe": plan.recipe.to_json(),
            "supports": {
                name: [support.encoding, sha256_bytes(support.data.tobytes())]
                for name, support in plan.supports.items()
            },
            "chunk": plan.chunk,
        }
    )


def _write_header(staged: StagedDirectory, plan: ExtractionPlan, base: ModelIdentity) -> None:
    staged.sync()
    data = map_arrays(staged.path, {}, verify=False)
    tensors = {
        name: AbilityTensor(
            support=support,
            delta=data[f"delta.{name}"],
            dtype=plan.dtype(name),
            patch_positions=data[f"patch_positions.{name}"],
            patch_bits=data[f"patch_bits.{name}"],
        )
        for name, support in plan.supports.items()
    }
    provenance = Provenance.collect(
        "interp ability extract",
        model_hash=sha256_json([base.root, base.config_digest]),
        corpus_hash=None,
        seed=None,
        settings=plan.recipe.to_json(),
    )
    header = ability_header(tensors=tensors, recipe=plan.recipe, base=base, provenance=provenance)
    write_header(staged.path, schema=SCHEMA, header=header)
