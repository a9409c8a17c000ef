"""Functions: two small decoders that answer six two-operand functions, one with planted modules.

The planted sibling was trained with a price on every neuron outside the block of the function
asked, so which neurons serve which function is known. The control sees the same data from the same
start, is about as sparse, and has no blocks: what a method finds there is what it finds in nothing.

    from probes.functions import FUNCTIONS, known_blocks, known_partitions
    known_blocks(0)[1]                   # the function of every neuron of layer 1
    known_partitions()                   # the same as experts, a partition a layer
"""

from probes.functions.blocks import known_blocks, known_experts
from probes.functions.known import known_partitions
from probes.functions.tasks import FUNCTIONS, draw, text, truth

__all__ = [
    "FUNCTIONS",
    "draw",
    "known_blocks",
    "known_experts",
    "known_partitions",
    "text",
    "truth",
]
