"""How long the documents of each label value are, and where a feature that ignores labels fires."""

from collections import Counter

import numpy as np
from jaxtyping import Float, Int

_N_RATES = 1024
_HIGHEST_RATE = 50.0


class DocumentLengths:
    """Counts of documents by label value and length, in one pass over rows in their order.

    A document is one run of rows, also where a batch or a part of the store ends inside it. Memory
    is that of the distinct lengths.
    """

    def __init__(self, n_values: int) -> None:
        self._n_values = n_values
        self._counts: Counter[tuple[int, int]] = Counter()
        # The first and the last document [id, value, rows]: rows on either side may prolong them.
        self._open: list[list[int]] = []

    def update(self, document: Int[np.ndarray, " rows"], value: Int[np.ndarray, " rows"]) -> None:
        """Take in the rows that follow; `value` is the index of each row's label value."""
        if not len(document):
            return
        starts = np.concatenate([[0], np.flatnonzero(document[1:] != document[:-1]) + 1])
        lengths = np.diff(np.append(starts, len(document)))
        runs = np.stack([document[starts], value[starts], lengths], axis=1).tolist()
        self._append(runs[0])
        self._counts.update((of, length) for _, of, length in runs[1:-1])
        if len(runs) > 1:
            self._append(runs[-1])

    def merge(self, later: "DocumentLengths") -> None:
        """Take in the counts of the rows that follow."""
        self._counts += later._counts
        for run in later._open:
            self._append(list(run))

    def by_value(self) -> tuple[Int[np.ndarray, " lengths"], Int[np.ndarray, "values lengths"]]:
        """The lengths that occur, and how many documents of each value have them."""
        counts = self._counts + Counter((value, rows) for _, value, rows in self._open)
        lengths = np.unique(np.array([rows for _, rows in counts], np.int64))
        table = np.zeros((self._n_values, len(lengths)), np.int64)
        for (value, rows), count in counts.items():
            table[value, np.searchsorted(lengths, rows)] = count
        return lengths, table

    def _append(self, run: list[int]) -> None:
        if self._open and self._open[-1][0] == run[0]:
            self._open[-1][2] += run[2]
            return
        self._open.append(run)
        if len(self._open) > 2:
            _, value, rows = self._open.pop(1)
            self._counts[value, rows] += 1


def expected_documents(
    n_fired: Int[np.ndarray, " d_sae"],
    lengths: Int[np.ndarray, " lengths"],
    table: Int[np.ndarray, "values lengths"],
) -> Float[np.ndarray, "d_sae values"]:
    """Documents of each value in which a feature fires, were it to ignore the label.

    A feature that starts to fire at one rate r in every row fires in a document of n rows with
    probability 1 − e^(−rn): more often in a longer one. Its rate is the one that gives as many
    documents as it fires in at all, so that many firings in one document count once.
    """
    rates = np.geomspace(1e-3 / max(int((table * lengths).sum()), 1), _HIGHEST_RATE, _N_RATES)
    # Rate by rate: all rates times all lengths of a large store need not stand in memory at once.
    found = np.stack([-np.expm1(-rate * lengths) @ table.T for rate in rates])
    total = found.sum(axis=1)
    columns = [np.interp(n_fired, total, column) for column in found.T]
    return np.where(n_fired[:, None] > 0, np.stack(columns, axis=1), 0.0)
