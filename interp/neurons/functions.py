"""Function: one yes-or-no question about rows, by which units are judged."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Rows = Literal["documents", "sequences", "tokens"]
"""What one row is: the tokens of a document, those of one fed sequence, or a single token."""


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
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})
