"""Training with a mask: only the chosen entries move, every other bit stays as it was."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float
from torch import Tensor, nn

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.moving.recipe import check_finite
from interp.abilities.training.packed_entries import PackedEntries
from interp.abilities.training.processes import (
    check_parts,
    join_processes,
    next_token_loss_over,
    own_part,
    place_of,
    summed,
    together,
)
from interp.models.examples import TrainingExamples, read_examples
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable, write_trained
from interp.models.training import (
    TrainingBatch,
    adamw,
    next_token_loss,
    shuffled_training_batches,
    train,
)
from interp.results.atomic import check_out
from interp.results.errors import BadInput, Mismatch
from interp.results.processes import started_together
from interp.results.progress import progress
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How a model is trained; the same recipe, model and data give the same weights."""

    steps: int = 400
    lr: float = 1e-3
    """Reached after the warm-up; from there half a cosine to 0. AdamW."""
    batch_size: int = 128
    warmup: int = 30
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    clip_norm: float | None = None
    """Norm that the gradient of the trained entries is cut to; None leaves it."""
    freeze_embeddings: bool = True
    """Whether the tables of tokens and positions stay as they are, whatever a mask says."""
    seed: int = 0
    """Of the order of the examples; the same under every mask."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not 0 <= self.warmup <= self.steps:
            raise BadInput(
                f"a training of {self.steps} steps ({self.warmup} of warm-up) with batches of "
                f"{self.batch_size}: expected at least 1 of each, and the warm-up inside the "
                f"steps: give --warmup {max(1, self.steps) // 10} or so"
            )
        check_finite("lr", self.lr)
        check_finite("weight decay", self.weight_decay)
        if self.lr <= 0 or self.weight_decay < 0:
            raise BadInput(f"lr {self.lr}, weight decay {self.weight_decay}: not below zero")


def train_ability(
    base: str | Path,
    examples: str | Path,
    out: str | Path,
    *,
    mask: NeuronMask | None = None,
    recipe: TrainingRecipe | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> Path:
    """A Hugging Face directory in float32: `base` trained on `examples`, a jsonl file.

    With a mask only its entries move, and every other entry is, as a number, the base's. Started
    by `accelerate launch` or `torchrun`, the processes share the examples of every batch, and one
    writes. Raises Mismatch if the mask was made for another model, BadInput if `out` exists.
    """
    recipe = recipe or TrainingRecipe()
    directory, examples, out = directory_of(base), Path(examples), Path(out)
    check_out(out, replace=overwrite)
    if mask is not None:
        check_mask(mask, directory)
    processes = join_processes(device) if started_together() else None
    place = device if processes is None else place_of(processes, device)
    trained = read_trainable(directory, device=place)
    data = read_examples(examples, trained.tokenizer())
    entries = "" if mask is None else f" {mask.count:,} entries"
    what = f"training{entries} on {examples.stem}"
    first = processes is None or processes.is_main_process
    shown = progress(what, total=recipe.steps, unit="steps") if first else nullcontext()
    with shown as advance:
        train_model(
            trained, data, mask=mask, recipe=recipe, processes=processes, on_progress=advance
        )
    if first:
        _write(trained, out, data, mask, recipe, overwrite=overwrite)
    if processes is not None:
        processes.wait_for_everyone()
    return out


def _write(
    trained: TrainableModel,
    out: Path,
    data: TrainingExamples,
    mask: NeuronMask | None,
    recipe: TrainingRecipe,
    *,
    overwrite: bool,
) -> None:
    directory = trained.directory
    made_from = model_identity(directory).root
    provenance = Provenance.collect(
        "interp ability train",
        model_hash=made_from,
        corpus_hash=data.hash,
        seed=recipe.seed,
        settings=asdict(recipe),
    )
    settings = {"mask": None if mask is None else mask.recipe, "training": asdict(recipe)}
    with write_trained(trained, out, overwrite=overwrite) as written:
        Lineage(
            root=model_identity(written).root,
            ancestors=(made_from, *known_ancestors(directory, made_from)),
            recipe=settings,
            provenance=provenance,
        ).save(written)


def check_mask(mask: NeuronMask, directory: Path) -> None:
    """Raise Mismatch unless the mask was made for the model in `directory`."""
    root = model_identity(directory).root
    if mask.base.root != root:
        raise Mismatch(
            f"the mask belongs to model {mask.base.root[:12]}, and {directory} is {root[:12]}: "
            "locate again on this model"
        )


def train_model(
    trained: TrainableModel,
    examples: TrainingExamples,
    *,
    mask: NeuronMask | None = None,
    recipe: TrainingRecipe,
    processes: Accelerator | None = None,
    on_progress: Callable[..., None] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train a model in place, all of it or a mask's entries; the loss of every step, in nats.

    Several `processes` must call it with the same arguments and end with the same weights; each
    computes its part of every batch.
    """
    frozen = trained.embeddings if recipe.freeze_embeddings else frozenset()
    free = {name: p for name, p in trained.parameters.items() if name not in frozen}
    for name, parameter in trained.parameters.items():
        parameter.requires_grad_(name in free)
    generator = torch.Generator().manual_seed(recipe.seed)
    batches = shuffled_training_batches(
        examples.tokens, examples.target, batch_size=recipe.batch_size, generator=generator
    )
    entries = PackedEntries(free, None if mask is None else dense_masks(mask, trained))
    if processes is None or processes.num_processes == 1:
        return train_entries(trained.model, entries, batches, recipe, on_progress=on_progress)
    check_parts(recipe.batch_size, processes)
    with together(processes, trained.model) as model:
        losses = train_entries(
            model,
            entries,
            (own_part(batch, processes) for batch in batches),
            recipe,
            loss_of=next_token_loss_over(processes),
            on_progress=on_progress,
        )
    of_all = summed(processes, torch.from_numpy(losses).float().to(processes.device))
    return (of_all / processes.num_processes).cpu().double().numpy()


def train_entries(
    model: nn.Module,
    entries: PackedEntries,
    batches: Iterator[TrainingBatch],
    recipe: TrainingRecipe,
    *,
    loss_of: Callable[[nn.Module, TrainingBatch], Float[Tensor, ""]] = next_token_loss,
    on_progress: Callable[..., None] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train the packed entries of `model` in place; the loss of every step, in nats.

    With nothing chosen the losses are computed and no entry moves. Clipping sees the chosen
    entries' gradient alone (the code released with ALLO, arXiv 2406.12606, clips the full one).
    """
    chosen = entries.parameters() or [nn.Parameter(torch.zeros(1))]
    return train(
        model,
        batches,
        steps=recipe.steps,
        optimizer=adamw(chosen, lr=recipe.lr, weight_decay=recipe.weight_decay),
        warmup=recipe.warmup,
        clip_norm=recipe.clip_norm,
        loss_of=loss_of,
        before_step=entries.gather,
        after_step=entries.scatter,
        on_progress=on_progress,
    )


def dense_masks(mask: NeuronMask, trained: TrainableModel) -> dict[str, Bool[Tensor, "..."]]:
    """The mask of every parameter that it ranks.

    A tied output head has one parameter with the embedding: a mask that names both must choose
    the same entries in both, else Mismatch.
    """
    masks: dict[str, Tensor] = {}
    tied = dict(mask.base.tied)
    for name, support in mask.tensors.items():
        owner = tied.get(name, name)
        if owner not in trained.parameters:
            raise Mismatch(f"the mask has entries in {name!r}, which the model does not train")
        dense = torch.from_numpy(support.dense())
        if owner in masks and not torch.equal(masks[owner], dense):
            raise Mismatch(f"{name} is tied to {owner}, and the mask chooses other entries in it")
        masks[owner] = dense
    return masks
