"""Functional experts: groups of neurons that hold more of a function's specialists than chance.

A neuron's score says how well it detects a function; a partition says which neurons belong
together. Where the best neurons of a function fall into one expert more often than into any random
set of its size, that expert is functional for it (arXiv 2305.18390). Nothing is said of causes:
`interp.modules.perturbation` takes the experts away and looks.

    found = functional_experts([NeuronScores.load("scores")], [Partition.load("experts")])
    found.functions_with_an_expert()
    found.save("functional")
"""

from interp.modules.functional.experts import FunctionalExperts
from interp.modules.functional.find import functional_experts

__all__ = ["FunctionalExperts", "functional_experts"]
