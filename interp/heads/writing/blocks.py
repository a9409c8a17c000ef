"""Tokens of a null: what each is exchanged with, and which tokens exchange together.

A head can have a fixed taste for attending to some tokens and for raising or lowering some. Where
both meet in one token, they meet wherever it stands: that is one coincidence, not one a sequence.
So the exchange is drawn by token and not by sequence.
"""

import numpy as np
from jaxtyping import Int

BLOCKS = 256
"""Blocks of tokens; a draw chooses one label for all tokens of a block."""


def token_blocks(
    n_tokens: int, *, rng: np.random.Generator, n_blocks: int = BLOCKS
) -> Int[np.ndarray, " n_tokens"]:
    """The block of every token, all blocks equally large; each token alone where they are few."""
    return rng.permutation(n_tokens) % min(n_blocks, n_tokens)


def exchanged(
    counts: Int[np.ndarray, " tokens"], *, controls: int, rng: np.random.Generator
) -> Int[np.ndarray, "tokens labels"]:
    """For every token itself, then `controls` others, drawn as often as they occur in a text.

    By place in `counts`. A token has the same others wherever it stands.
    """
    n = len(counts)
    own = np.arange(n)
    if n < 2:
        return np.zeros((n, 1 + controls), np.int64)
    ends = np.cumsum(counts)
    before = (ends - counts)[:, None]
    drawn = rng.integers(0, ends[-1] - counts[:, None], size=(n, controls))
    drawn = np.where(drawn >= before, drawn + counts[:, None], drawn)
    return np.column_stack([own, np.searchsorted(ends, drawn, side="right")])
