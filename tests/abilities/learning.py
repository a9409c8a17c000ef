"""A tiny decoder with training and evaluation files, for tests that train."""

import json
from pathlib import Path

import numpy as np
import torch

from interp.models.examples import TrainingExamples
from tests.models import tiny_model_directory

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 32}
"""Settings of a Llama that trains a hundred steps in a second."""


def small_llama(directory: Path, *, seed: int = 0, **config) -> Path:
    """A Llama directory with a word tokenizer."""
    return tiny_model_directory("llama", directory, seed=seed, **{**SMALL, **config})


def some_examples(n: int = 64, *, seed: int = 0, d_vocab: int = 32) -> TrainingExamples:
    """Random prompts of three tokens with one random answer each."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, d_vocab, (n, 4), generator=generator)
    target = torch.zeros(tokens.shape, dtype=torch.bool)
    target[:, -1] = True
    return TrainingExamples(tokens=tokens, target=target)


def write_examples(path: Path, *, n: int = 64, seed: int = 0, d_vocab: int = 32) -> Path:
    """The same as a training file."""
    rows = some_examples(n, seed=seed, d_vocab=d_vocab).tokens.tolist()
    lines = [
        {"prompt": " ".join(f"w{t}" for t in row[:-1]), "answer": f"w{row[-1]}"} for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_items(path: Path, *, n: int = 12, seed: int = 0) -> Path:
    """Evaluation items: tasks ability and general, languages D and E, both splits."""
    rng = np.random.default_rng(seed)
    prompts = rng.permutation(28 * 28)[: 8 * n]
    rows = []
    for number, place in enumerate(prompts):
        first, second = divmod(int(place), 28)
        task = "ability" if number % 2 else "general"
        language = "DE"[number // 2 % 2]
        split = "test" if number // 4 % 2 else "validation"
        rows.append(
            {"id": f"i{number}", "prompt": f"w{first + 4} w{second + 4}",
             "answer": f"w{rng.integers(4, 32)}", "task": task, "language": language,
             "split": split}
        )  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
