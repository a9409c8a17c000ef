"""A program for two processes under torchrun: a masked stage, a training, an alignment."""

import sys
from pathlib import Path

from accelerate import PartialState
from safetensors.torch import save_file

from interp.abilities.allo.pairs import encode_pairs, read_pairs
from interp.abilities.allo.stages import StageRecipe
from interp.abilities.allo.train import run_stage
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.abilities.training.processes import join_processes
from interp.cli.app import main
from interp.models.trainable import read_trainable

STAGE = StageRecipe(
    stage="learn", steps=100, lr=1e-3, batch_size=7, accumulate=2, epsilon=0.4, weight_decay=0.1,
    clip_norm=0.5,
)  # fmt: skip
TRAINING = TrainingRecipe(
    steps=20, lr=1e-3, batch_size=7, warmup=2, weight_decay=0.1, clip_norm=0.5
)
COMMAND = ("--lr", "1e-3", "--steps", "3", "--batch-size", "8", "--clip", "0.5", "--json")


def align_arguments(place: Path, out: Path) -> list[str]:
    """The command after `interp`."""
    return ["ability", "align", str(place / "base"), str(place / "pairs.jsonl"), "--out", str(out),
            *COMMAND]  # fmt: skip


def run(place: Path) -> None:
    """Train one stage, each rank writing its weights; train and align to directories."""
    processes = join_processes()
    trained = read_trainable(place / "base")
    pairs = encode_pairs(read_pairs(place / "pairs.jsonl"), trained.tokenizer())
    mask = NeuronMask.load(place / "mask")
    losses = run_stage(trained, pairs, STAGE, mask=mask, processes=processes)
    weights = {name: p.detach() for name, p in trained.parameters.items()}
    rank = PartialState().process_index
    save_file(weights, place / f"rank-{rank}", metadata={"last": str(losses[-1])})
    examples = place / "examples.jsonl"
    train_ability(place / "base", examples, place / "trained-by-two", mask=mask, recipe=TRAINING)
    sys.argv = ["interp", *align_arguments(place, place / "two")]
    main()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
