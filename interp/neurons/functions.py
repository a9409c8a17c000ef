"""Function: one yes-or-no question about rows, by which units are judged, and its labels."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int8, Int64

FEW = 50
"""Rows of a class below which the best of thousands of units that know nothing passes 0.8."""
Rows = Literal["documents", "sequences", "tokens"]
"""What one row is: the tokens of a document, those of one fed sequence, or a single token."""
Exchanged = Literal["rows", "documents", "rotations"]
"""What chance moves: the labels of single rows, those of whole documents, or all labels together
along the text."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A sub-function: which rows are its positives and how many it is judged on."""

    name: str
    """As shown: `upos=VERB`, or the name of a yes-or-no label."""
    group: str
    """The function that it is a part of; sub-functions of one group are averaged. Where nothing
    groups them, the label it comes from."""
    n_positive: int
    n_negative: int
    balanced: bool
    """Whether rows of the larger class were left out until both were equal."""
    n_left_out: int
    """Rows of the larger class that balancing left out."""
    rows_sha256: str
    """Of the rows judged and their labels: equal hashes are the same question on the same rows."""
    exchanged: Exchanged = "rows"
    """What a permutation of its labels leaves whole."""

    @property
    def n(self) -> int:
        """Rows that it is judged on."""
        return self.n_positive + self.n_negative

    @property
    def prevalence(self) -> float:
        """Share of positives: the average precision of a unit that never changes."""
        return self.n_positive / self.n

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Function":
        """The inverse of `to_json`; unknown keys are dropped, a missing one raises KeyError."""
        # Findings from before tokens kept their documents exchanged rows.
        known: dict[str, Any] = {"exchanged": "rows"} | content
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class LabelledFunctions:
    """Functions with their labels on one set of rows, and which tokens make each row."""

    functions: tuple[Function, ...]
    labels: Int8[np.ndarray, "functions rows"]
    """1 on positives, 0 on negatives, -1 on rows that are no part of a function."""
    row_of: Int64[np.ndarray, "masks n_tokens"]
    """The row that each token of the store is pooled into, -1 for none. One line a mask: labels
    that are given on different tokens of a document pool over different tokens."""
    rows: Rows
    document: Int64[np.ndarray, " rows"]
    """The document of every row, of its first token: rows of one are not independent."""

    @property
    def n_rows(self) -> int:
        """Rows in all."""
        return self.labels.shape[1]

    @property
    def few(self) -> tuple[Function, ...]:
        """Functions with fewer than 50 rows in a class, where the best of many units is high."""
        return tuple(f for f in self.functions if min(f.n_positive, f.n_negative) < FEW)

    @classmethod
    def of_rows(
        cls, functions: tuple[Function, ...], labels: Int8[np.ndarray, "functions rows"]
    ) -> "LabelledFunctions":
        """Functions of rows that are there already, each a document of its own."""
        places = np.arange(labels.shape[1], dtype=np.int64)
        return cls(
            functions=functions,
            labels=labels,
            row_of=places[None],
            rows="tokens",
            document=places,
        )
