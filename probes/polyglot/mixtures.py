"""What each model is trained on: an endless stream of lines drawn from a stated mixture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from probes.polyglot.languages import (
    GENERAL,
    LANGUAGES,
    N_NUMBERS,
    OPERATIONS,
    AbilityRule,
    line_ids,
)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How lines are drawn: languages, how often they mix in one line, and how often the ability."""

    languages: tuple[float, float, float, float, float]
    """Probability of A, B, C, D and E."""
    code_mixing: float
    """Share of lines whose x, y and z are each said in a language of their own."""
    ability: float
    """Share of lines that ask for the ability; the others ask for a general operation."""


def draw_lines(
    mixture: Mixture, n: int, rng: np.random.Generator, *, rule: AbilityRule = "table"
) -> Int[np.ndarray, "n 5"]:
    """Token ids of `n` lines `x y operation ->L z`."""
    x, y = rng.integers(N_NUMBERS, size=(2, n))
    ability = rng.random(n) < mixture.ability
    operation = np.where(ability, len(OPERATIONS) - 1, rng.integers(len(GENERAL), size=n))
    drawn = rng.choice(len(LANGUAGES), size=(n, 3), p=mixture.languages)
    mixed = rng.random(n) < mixture.code_mixing
    languages = np.where(mixed[:, None], drawn, drawn[:, :1])
    return line_ids(x=x, y=y, operation=operation, languages=languages, ability=rule)


def line_batches(
    mixture: Mixture, *, batch_size: int, seed: int
) -> Iterator[Int[np.ndarray, "batch 5"]]:
    """An endless stream of batches; the same seed gives the same stream."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw_lines(mixture, batch_size, rng)
