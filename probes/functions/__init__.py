"""Functions: two small decoders that answer six two-operand functions, one with planted modules.

The planted sibling was trained with a price on every neuron outside the block of the function
asked, so which neurons serve which function is known. The control sees the same data from the same
start, is about as sparse, and has no blocks: what a method finds there is what it finds in nothing.

    from probes.functions import FUNCTIONS, known_blocks, labelled_lines
    known_blocks(0)[1]                   # the function of every neuron of layer 1
    labelled_lines(seed=1, n_per_function=512)   # a corpus with the function at answer positions
"""

from probes.functions.blocks import known_blocks, known_experts
from probes.functions.tasks import FUNCTIONS, draw, text, truth

__all__ = ["FUNCTIONS", "draw", "known_blocks", "known_experts", "text", "truth"]
