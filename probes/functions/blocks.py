"""The blocks that the planted sibling's neurons are held to, and the experts they are read as.

Block f of a layer belongs to function f. Which neurons form it is drawn from the seed: neurons in
order would agree with any method that deals ties and dead neurons out by number.
"""

import numpy as np
from jaxtyping import Int

from probes.functions.tasks import FUNCTIONS

N_LAYERS = 2
D_MLP = 192
BLOCK_SIZE = D_MLP // len(FUNCTIONS)
EXPERTS_PER_BLOCK = 2
N_EXPERTS = EXPERTS_PER_BLOCK * len(FUNCTIONS)


def known_blocks(seed: int) -> Int[np.ndarray, "layers neurons"]:
    """The function, by number, whose block each neuron belongs to: 32 neurons each."""
    rng = np.random.default_rng([seed, 2])
    ordered = np.repeat(np.arange(len(FUNCTIONS)), BLOCK_SIZE)
    return np.stack([rng.permutation(ordered) for _ in range(N_LAYERS)])


def known_experts(seed: int) -> Int[np.ndarray, "layers neurons"]:
    """The expert of each neuron: 2f and 2f + 1 are the lower and upper numbers of block f."""
    blocks = known_blocks(seed)
    experts = EXPERTS_PER_BLOCK * blocks
    for layer in range(N_LAYERS):
        for function in range(len(FUNCTIONS)):
            members = np.flatnonzero(blocks[layer] == function)
            experts[layer, members[BLOCK_SIZE // EXPERTS_PER_BLOCK :]] += 1
    return experts
