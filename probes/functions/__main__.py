"""Train both siblings: `python -m probes.functions --seed 0 --out DIR` makes the shipped ones."""

import argparse
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from probes.functions.recipe import SHIPPED_SEED
from probes.functions.train import train_siblings


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m probes.functions", description=__doc__)
    parser.add_argument("--seed", type=int, default=SHIPPED_SEED)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    disable_progress_bar()
    train_siblings(asked.out, seed=asked.seed)


if __name__ == "__main__":
    main()
