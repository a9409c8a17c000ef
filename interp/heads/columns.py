"""Head and Column: which head, and what a number about it says."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Head(NamedTuple):
    """A head by its layer and its number there."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number a head: which detector gave it, for what relation, and how to read it."""

    name: str
    detector: str
    definition: str
    """What the number is, in a sentence."""
    source: str
    """Paper and equation."""
    version: int
    unit: str
    low: float | None
    """Smallest and largest value that the definition allows; None without a bound."""
    high: float | None
    chance: str
    """What a head that does nothing of the kind gives."""
    null: str
    """What was drawn again to know so."""
    inputs: str
    """What the model was fed, or `none`."""
    relation: str | None = None
    corpus_hash: str | None = None
    """Of what the model was fed for this column; None where it was fed nothing, or not known."""
    above_zero: str | None = None
    """An extra of the scores that must be above 0 too before a head is called significant."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a header."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Column":
        """The inverse of `to_json`; unknown keys are dropped, a missing one raises TypeError."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__ if name in content})
