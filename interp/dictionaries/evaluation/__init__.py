"""Evaluation: what a dictionary keeps of its site, beside what simpler things of its size keep.

Rows of a store give reconstruction, sparsity and firing; a model gives the loss recovered when the
reconstruction stands in for the site. Intervals are over sequences, and every baseline is as sparse
as the dictionary and fitted on rows that are not evaluated.

    found = evaluate_dictionary(sae, "store", model="polyglot", corpus=corpus)
    found["explained_variance"], found.cell("pca", "explained_variance")
    found.save(Path("evaluation"))
"""

from typing import TYPE_CHECKING, Any

from interp.dictionaries.evaluation.evaluation import DictionaryEvaluation, SharedFeatures
from interp.dictionaries.evaluation.measures import MEASURES, MeasureKind

if TYPE_CHECKING:
    from interp.dictionaries.evaluation.run import evaluate_dictionary

__all__ = [
    "MEASURES",
    "DictionaryEvaluation",
    "MeasureKind",
    "SharedFeatures",
    "evaluate_dictionary",
]

_LATER = {"evaluate_dictionary": "interp.dictionaries.evaluation.run"}


def __getattr__(name: str) -> Any:
    # A page that opens a finding must not load torch.
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
