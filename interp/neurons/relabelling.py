"""Relabelling: a function's labels in other places, as if they had nothing to do with the rows.

What may change places is what could have been labelled otherwise. Rows of different documents are
cases of their own; tokens of one document are not, and a null that shuffles them one by one counts
a run of equal labels over equal activations as many agreements, with p far too low.
"""

import numpy as np
from jaxtyping import Int8, Int64

from interp.neurons.functions import Exchanged


def exchanged_of(
    labels: Int8[np.ndarray, " rows"], documents: Int64[np.ndarray, " rows"]
) -> Exchanged:
    """What changes places under chance, from where the labels change; -1 is no part.

    Rows where no document has two of them, else whole documents where each has one label
    throughout, else the labels are rotated along the text.
    """
    part = labels >= 0
    _, of_row, n_rows = np.unique(documents[part], return_inverse=True, return_counts=True)
    if n_rows.max(initial=0) <= 1:
        return "rows"
    positive = np.bincount(of_row, weights=labels[part])
    return "documents" if ((positive == 0) | (positive == n_rows)).all() else "rotations"


def relabelled(
    labels: Int8[np.ndarray, " rows"],
    documents: Int64[np.ndarray, " rows"],
    exchanged: Exchanged,
    n: int,
    rng: np.random.Generator,
) -> Int8[np.ndarray, "draws rows"]:
    """The labels as they are, and then `n` of what chance could have given."""
    if exchanged == "rows":
        drawn = shuffled_labels(labels, n, rng)
    elif exchanged == "documents":
        drawn = labels_of_other_documents(labels, documents, n, rng)
    else:
        drawn = shifted_labels(labels, n, rng)
    return np.concatenate([labels[None], drawn])


def shuffled_labels(
    labels: Int8[np.ndarray, " rows"], n: int, rng: np.random.Generator
) -> Int8[np.ndarray, "draws rows"]:
    """`n` placings of a function's labels on its rows at random; -1 stays where it is.

    A null for rows that could be exchanged: documents, or tokens of which each is its own case.
    """
    part = labels >= 0
    drawn = np.repeat(labels[None], n, axis=0)
    drawn[:, part] = rng.permuted(drawn[:, part], axis=1)
    return drawn


def labels_of_other_documents(
    labels: Int8[np.ndarray, " rows"],
    documents: Int64[np.ndarray, " rows"],
    n: int,
    rng: np.random.Generator,
) -> Int8[np.ndarray, "draws rows"]:
    """`n` exchanges of the labels of whole documents, each of one label throughout.

    As many documents have the label in every draw, and so not always as many rows.
    """
    part = labels >= 0
    _, first, of_row = np.unique(documents[part], return_index=True, return_inverse=True)
    of_document = np.broadcast_to(labels[part][first], (n, len(first)))
    drawn = np.repeat(labels[None], n, axis=0)
    drawn[:, part] = rng.permuted(of_document, axis=1)[:, of_row]
    return drawn


def shifted_labels(
    labels: Int8[np.ndarray, " rows"], n: int, rng: np.random.Generator
) -> Int8[np.ndarray, "draws rows"]:
    """`n` rotations of a function's labels along its rows, by different distances if there are any.

    A null for tokens in the order of the text: labels and activations that come in runs stay in
    runs, so that a run of one does not count as many agreements (shuffling would count it so).
    """
    part = labels >= 0
    inside = labels[part]
    every = rng.permutation(np.arange(1, max(len(inside), 2)))
    distances = np.resize(every, n)
    drawn = np.repeat(labels[None], n, axis=0)
    drawn[:, part] = inside[(np.arange(len(inside)) - distances[:, None]) % len(inside)]
    return drawn
