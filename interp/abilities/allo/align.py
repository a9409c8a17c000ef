"""Align: a model directory and preference pairs to an aligned model directory, stage by stage."""

from pathlib import Path

from interp.abilities.allo.alignment import Alignment
from interp.abilities.allo.change_mask import change_locator
from interp.abilities.allo.objectives import objective_of
from interp.abilities.allo.pairs import encode_pairs, read_pairs
from interp.abilities.allo.sequence import StageRunner
from interp.abilities.allo.stages import PRESETS, STAGES, AlloRecipe
from interp.abilities.allo.unfinished import Unfinished
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.training.masked_training import check_mask
from interp.abilities.training.processes import join_processes, place_of
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable, write_trained
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes
from interp.results.provenance import Provenance


def align(
    base: str | Path,
    pairs: str | Path,
    out: str | Path,
    *,
    recipe: AlloRecipe | None = None,
    mask: NeuronMask | None = None,
    device: str = "cpu",
    mixed_precision: str | None = None,
    checkpoint_every: int = 100,
    resume: bool = False,
    overwrite: bool = False,
) -> Alignment:
    """Write the model `base` aligned to `pairs`, a jsonl file, in float32 to the directory `out`.

    A warm-up moves everything and is undone: the entries it moved most are those that the next
    stages may move, each its own share; all others are, as numbers, the base's. A mask replaces
    the warm-up's. The masks, and the loss of every update, lie in the directory. Started by
    `accelerate launch` or `torchrun`, the processes share the pairs of every update.

    While it runs, its state is in `out`.unfinished, from which `resume` goes on. Raises Mismatch
    for a mask of another model, BadInput for a file or recipe that cannot be aligned with.
    """
    recipe = recipe or PRESETS["text"].only(*STAGES)
    processes = join_processes(device, mixed_precision=mixed_precision)
    directory, out = directory_of(base), Path(out)
    check_out(out, replace=overwrite)
    check_recipe(recipe, mask)
    if mask is not None:
        check_mask(mask, directory)
    trained = read_trainable(directory, device=place_of(processes, device))
    given = read_pairs(pairs, weights=recipe.weights)
    data = encode_pairs(given, trained.tokenizer())
    identity = model_identity(directory)
    plan = {
        "base": identity.root,
        "pairs": data.hash,
        "recipe": recipe.to_json(),
        "mask": None if mask is None else _mask_hash(mask),
        "mixed precision": processes.mixed_precision,
    }
    unfinished = Unfinished(out, every=checkpoint_every)
    unfinished.open(plan, resume=resume, processes=processes)
    start = {name: p.detach().cpu().clone() for name, p in trained.parameters.items()}
    runner = StageRunner(
        trained=trained, pairs=data, base=identity, processes=processes, unfinished=unfinished
    )
    masks, stages = runner.run(recipe, mask)
    result = Alignment(
        path=out,
        stages=tuple(stages),
        n_pairs=len(given),
        n_weighted=sum(pair.rejected_weights is not None for pair in given),
        n_entries=sum(values.numel() for values in start.values()),
        moved=sum(int((p.cpu() != start[name]).sum()) for name, p in trained.parameters.items()),
    )
    if processes.is_main_process:
        made = {"mask": {name: found.recipe for name, found in masks.items()}, "align": plan}
        with write_trained(trained, out, overwrite=overwrite) as written:
            for name, found in masks.items():
                found.save(written / "masks" / name)
            result.write_log(written)
            Lineage(
                root=model_identity(written).root,
                ancestors=(identity.root, *known_ancestors(directory, identity.root)),
                recipe=made,
                provenance=Provenance.collect(
                    "interp ability align",
                    model_hash=identity.root,
                    corpus_hash=data.hash,
                    seed=recipe.stages[0].seed,
                    settings=plan | {"processes": processes.num_processes},
                ),
            ).save(written)
        unfinished.remove()
    processes.wait_for_everyone()
    return result


def check_recipe(recipe: AlloRecipe, mask: NeuronMask | None) -> None:
    """Raise BadInput for a stage we do not have, or a share of entries that nothing ranks."""
    change_locator(recipe.locator)
    warmed = recipe.stages[0].stage == "warmup"
    if warmed and mask is not None:
        raise BadInput("a mask is given, and the warm-up only locates one: leave out one of them")
    for stage in recipe.stages:
        objective_of(stage.stage)
        if stage.share < 1 and mask is None and not warmed:
            raise BadInput(
                f"{stage.stage} moves a share of {stage.share} of the entries, and nothing says "
                "which: run warmup before it, give a mask, or a share of 1"
            )


def _mask_hash(mask: NeuronMask) -> str:
    parts = [
        f"{name}:{support.encoding}:{support.shape}:".encode() + support.data.tobytes()
        for name, support in sorted(mask.tensors.items())
    ]
    return sha256_bytes(b"".join(parts))
