"""Preference pairs of random words for a tiny decoder, with answers of several lengths."""

import json
from pathlib import Path

import numpy as np

from interp.abilities.allo.pairs import PreferencePair


def some_pairs(n: int = 24, *, seed: int = 0, d_vocab: int = 32) -> list[PreferencePair]:
    """Prompts of two or three words; answers of one to four, half with token weights."""
    rng = np.random.default_rng(seed)

    def words(count: int) -> str:
        return " ".join(f"w{token}" for token in rng.integers(4, d_vocab, count))

    pairs = []
    for number in range(n):
        length = int(rng.integers(1, 5))
        weights = rng.integers(0, 2, length).astype(float).tolist()
        pairs.append(
            PreferencePair(
                prompt=words(int(rng.integers(2, 4))),
                chosen=words(int(rng.integers(1, 5))),
                rejected=words(length),
                rejected_weights=tuple(weights) if number % 2 else None,
            )
        )
    return pairs


def write_pairs(path: Path, *, n: int = 24, seed: int = 0) -> Path:
    """The same as a jsonl file."""
    rows = []
    for pair in some_pairs(n, seed=seed):
        row: dict[str, object] = {
            "prompt": pair.prompt,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
        }
        if pair.rejected_weights is not None:
            row["rejected_weights"] = list(pair.rejected_weights)
        rows.append(json.dumps(row))
    path.write_text("".join(row + "\n" for row in rows))
    return path
