"""Half of the documents to choose experts on, the other half to measure what closing them does."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from interp.corpus.corpus import TokenBatch
from interp.modules.native.table import UNLABELLED, RoutingTable
from interp.results.errors import BadInput


def halves(
    table: RoutingTable, *, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " choosing"], Int64[np.ndarray, " measured"]]:
    """The labelled documents dealt in two, those of each function evenly.

    Raises BadInput for a function that stands in one half only.
    """
    rows = table.function != UNLABELLED
    documents, first = np.unique(table.document[rows], return_index=True)
    order = np.lexsort((rng.random(len(documents)), table.function[rows][first]))
    dealt = np.sort(documents[order[0::2]]), np.sort(documents[order[1::2]])
    inside = [set(table.function[rows & np.isin(table.document, half)]) for half in dealt]
    if alone := sorted(inside[0] ^ inside[1]):
        raise BadInput(
            f"function {alone[0]} of the label has documents in one half of the text only, and "
            "experts are chosen on one and measured on the other: give it more documents"
        )
    return dealt


def rows_of(table: RoutingTable, documents: Int64[np.ndarray, " chosen"]) -> RoutingTable:
    """The sums of some documents; pairs and capacity stay those of all."""
    kept = np.isin(table.document, documents)
    names = ("document", "function", "n_tokens", "chosen", "probability", "entropy")
    return table._replace(**{name: getattr(table, name)[kept] for name in names})


def sequences_of(batch: TokenBatch, documents: Int64[np.ndarray, " chosen"]) -> TokenBatch:
    """The sequences of a batch that hold some of the documents, labels of others taken off."""
    inside = np.isin(batch.document, documents)
    rows = inside.any(axis=1)
    names = ("tokens", "attention_mask", "special", "bos", "document", "position", "sequence")
    labels = {
        name: np.where(inside, label, np.array(UNLABELLED, label.dtype))[rows]
        for name, label in batch.labels.items()
    }
    return replace(batch, **{name: getattr(batch, name)[rows] for name in names}, labels=labels)
