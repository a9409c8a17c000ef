"""SourceFacts: what identifies the rows that a dictionary was trained on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What decides the rows of a source, and the names a dictionary will carry."""

    name: str
    """The store, or the model and its text, as a person would say it."""
    identity: str
    """Changes whenever a row could change."""
    model: str | None
    model_hash: str | None
    corpus_hash: str | None
    n_rows: int | None
    """Of one epoch; None where only reading can tell."""
