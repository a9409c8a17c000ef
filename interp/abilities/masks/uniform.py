"""Uniform numbers by place: of a seed and a tensor's name, the same however they are asked for.

Every block of a tensor has a counter of its own, so that neither the pieces in which a tensor is
read nor the shards it lies in change what is drawn, and no more than a block is ever held.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float32

from interp.abilities.streaming.topk import Scores

BLOCK = 1 << 18
"""Entries that share a counter; another number draws other entries."""


def uniform_blocks(
    name: str, n_entries: int, *, seed: int, purpose: str
) -> Iterator[Float32[np.ndarray, " entries"]]:
    """Numbers in [0, 1), one an entry, in flat order and in blocks; 24 random bits each.

    Draws of one seed for two purposes are independent.
    """
    key = int.from_bytes(hashlib.sha256(f"{purpose}\0{seed}\0{name}".encode()).digest()[:16])
    for block, start in enumerate(range(0, n_entries, BLOCK)):
        # A block takes fewer numbers than the 2^64 that the second word of the counter steps over.
        generator = np.random.Generator(np.random.Philox(key=key, counter=block << 64))
        yield generator.random(min(BLOCK, n_entries - start), dtype=np.float32)


def uniform_scores(shapes: Mapping[str, tuple[int, ...]], *, seed: int, purpose: str) -> Scores:
    """The uniform numbers of every tensor by name, as scores to rank."""
    return lambda name: uniform_blocks(name, math.prod(shapes[name]), seed=seed, purpose=purpose)
