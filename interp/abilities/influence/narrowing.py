"""Narrow a corpus to the training examples that drive an ability."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from interp.abilities.influence.influence import Influence
from interp.abilities.influence.rows import read_rows
from interp.results.atomic import atomic_file
from interp.results.errors import BadInput, Mismatch


def best_share(found: Influence, keep: float) -> Int64[np.ndarray, " kept"]:
    """Indices of the highest share, in the order of the file; at least one example."""
    check_share(keep)
    count = max(1, int(np.floor(keep * len(found.score) + 1e-9)))
    return np.sort(found.ranked()[:count])


def narrow(found: Influence, train: str | Path, out: str | Path, *, keep: float = 0.05) -> int:
    """Write the highest-scoring lines of the training file, as they stand; how many they are.

    Raises Mismatch if the file is not the one that was scored, BadInput if `out` exists.
    """
    train, out = Path(train), Path(out)
    check_new(out)
    chosen = {int(found.row[i]): found.hash[i].tobytes() for i in best_share(found, keep)}
    for row in read_rows(train):
        if chosen.get(row.number, row.hash) != row.hash:
            raise Mismatch(f"line {row.number} of {train} is not the one that was scored")
    with atomic_file(out) as temporary, temporary.open("w", encoding="utf-8") as written:
        n_written = 0
        with train.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if number in chosen:
                    written.write(line.rstrip("\r\n") + "\n")
                    n_written += 1
        if n_written != len(chosen):
            raise Mismatch(f"{train} is shorter than when it was scored: score it again")
    return n_written


def check_new(out: Path) -> None:
    """BadInput if the file exists: a corpus is never overwritten."""
    if out.exists():
        raise BadInput(f"{out} exists: choose another --write")


def check_share(keep: float) -> None:
    """BadInput unless something is kept, and no more than everything."""
    if not 0 < keep <= 1:
        raise BadInput(f"a share of {keep} to keep: expected more than 0 and at most 1, as 0.05")
