"""Neurons: what each of them detects beside its null, how sparse they are, which fire together.

Functions come as label columns of a store, of documents or of tokens, and every unit of a site
(a neuron, a dictionary's feature, a head) is scored for each. A best of many units is high by
chance, so no score comes without labels in other places, and untrained weights can stand beside it.

    scores = score_neurons("store", site="blocks.2.mlp.hook_post", labels=["answer"])
    scores.best(), scores.null_best.mean(axis=1), scores.p_best()
    scores.specialised(fdr=0.05)
    scores.save("scores")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.neurons.score import score_neurons, score_values
    from interp.neurons.scores import NeuronScores
    from interp.neurons.specialization import Specialization

_WHERE = {
    "NeuronScores": "scores",
    "Specialization": "specialization",
    "score_neurons": "score",
    "score_values": "score",
}

__all__ = ["NeuronScores", "Specialization", "score_neurons", "score_values"]


def __getattr__(name: str) -> Any:
    # Lazy: reading scores must not load torch.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
