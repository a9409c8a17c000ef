"""Train a model: `python -m probes.relations binding --seed 0 --out DIR` makes the shipped one."""

import argparse
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from probes.relations.recipe import RECIPES, SHIPPED_SEED
from probes.relations.train import train_into


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m probes.relations", description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--seed", type=int, default=SHIPPED_SEED)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    disable_progress_bar()
    train_into(asked.out, asked.name, seed=asked.seed)


if __name__ == "__main__":
    main()
