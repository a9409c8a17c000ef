"""Sparsity: how many neurons of each layer a token, a sequence and a text use.

ReLU neurons are on or off; others have no zero, so a rule with a threshold says which count as
active, and is named in every result. What neurons write decides what a threshold costs: CETT keeps
the same share of every layer's output, and perplexity tells what that does to the model.

    found = measure_sparsity(ModelRows.of(bridge, corpus, [], max_tokens=10_000),
                             rule=ActivityRule.parse("cett:0.2"), W_out=out_weights(bridge, sites))
    print(found)
    found.save(Path("sparsity"))
"""

from typing import TYPE_CHECKING, Any

from interp.neurons.sparsity.definitions import MEASURES
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.stats import LayerSparsity, Perplexity, SparsityStats

if TYPE_CHECKING:
    from interp.neurons.sparsity.model import model_sparsity, store_sparsity

__all__ = [
    "MEASURES",
    "ActivityRule",
    "LayerSparsity",
    "Perplexity",
    "SparsityStats",
    "model_sparsity",
    "store_sparsity",
]


def __getattr__(name: str) -> Any:
    # A page that opens a finding must not load torch.
    if name not in ("model_sparsity", "store_sparsity"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.model"), name)
