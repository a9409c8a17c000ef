"""RelationTally: what every head did at the events of every triplet, summed; parts concatenate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.controls import Match
from interp.results.errors import Mismatch


class SequenceSums(NamedTuple):
    """Sums over the events of each sequence, for statistics made of whole sequences."""

    sequence: Int[np.ndarray, " sequences"]
    """Number of each in the corpus, in order."""
    document: Int[np.ndarray, " sequences"]
    n_opportunities: Float[np.ndarray, "sequences layers heads relations"]
    n_gated: Float[np.ndarray, "sequences layers heads relations"]
    n_defined: Float[np.ndarray, "sequences layers heads relations"]
    """Gated events that have a share (under the gate `none`: their attention)."""
    sum_share: Float[np.ndarray, "sequences layers heads relations"]


@dataclass(frozen=True, kw_only=True)
class RelationTally:
    """Sums over events by triplet and head; `heads` runs over layers, then heads of a layer."""

    choices: RelationChoices
    relations: tuple[str, ...]
    match: tuple[Match, ...]
    null: str
    left_out: dict[str, dict[str, int]]
    n_layers: int
    sequence: Int[np.ndarray, " triplets"]
    document: Int[np.ndarray, " triplets"]
    relation: Int[np.ndarray, " triplets"]
    entities: Int[np.ndarray, "triplets pair"]
    tail_first: Bool[np.ndarray, " triplets"]
    label_tokens: Int[np.ndarray, "triplets labels"]
    """The token of the true tail, of each control tail, then -1."""
    opportunities: Int[np.ndarray, " triplets"]
    """Events, gated or not."""
    n_gated: Float[np.ndarray, "triplets heads"]
    n_gated_otherwise: Float[np.ndarray, "triplets heads"]
    """By the same gate with the first position treated the other way."""
    n_undefined: Float[np.ndarray, "triplets heads"]
    """Gated events whose logits are flat."""
    weight: Float[np.ndarray, "triplets heads"]
    """Gated and defined events; under the gate `none` each counts by its attention."""
    share: Float[np.ndarray, "triplets heads"]
    """Sum of the tail's share over them, weighted, as are those below."""
    raised: Float[np.ndarray, "triplets heads"]
    uniform: Float[np.ndarray, "triplets heads"]
    """Sum of 1/n."""
    copying: Float[np.ndarray, "triplets heads"]
    """Sum of the tail's share when all attended tokens are read."""
    copying_weight: Float[np.ndarray, "triplets heads"]
    n_tested: Float[np.ndarray, "triplets heads"]
    """Gated and defined events at which every label could be raised."""
    tested_weight: Float[np.ndarray, "triplets heads"]
    label_share: Float[np.ndarray, "triplets heads labels"]
    """Sum of the share over those, for the true tail and each control tail."""
    event_triplet: Int[np.ndarray, " events"]
    event_position: Int[np.ndarray, " events"]
    event_gates: UInt8[np.ndarray, "events bytes"]
    """Which heads pass the gate, a bit each."""

    @property
    def n_heads(self) -> int:
        """Heads of a layer."""
        return self.n_gated.shape[1] // self.n_layers

    def gates(self) -> Bool[np.ndarray, "events heads"]:
        """Which heads pass at which events."""
        bits = np.unpackbits(self.event_gates, axis=1, count=self.n_gated.shape[1])
        return bits.astype(bool)

    @property
    def n_labels(self) -> Int[np.ndarray, " triplets"]:
        """True tail and control tails; 1 where there is no control."""
        return (self.label_tokens >= 0).sum(axis=1)

    def of_relation(self, relation: int) -> Bool[np.ndarray, " triplets"]:
        """Which triplets are of this relation."""
        return self.relation == relation

    def sequence_sums(self) -> SequenceSums:
        """Sums of each sequence that has an event, by relation."""
        numbers, first, row = np.unique(self.sequence, return_index=True, return_inverse=True)
        shape = (len(numbers), self.n_gated.shape[1], len(self.relations))

        def summed(values: Float[np.ndarray, "triplets heads"]) -> Float[np.ndarray, "..."]:
            sums = np.zeros((shape[0], shape[2], shape[1]))
            np.add.at(sums, (row, self.relation), values)
            return sums.transpose(0, 2, 1).reshape(len(numbers), self.n_layers, -1, shape[2])

        every = np.ones(self.n_gated.shape) * self.opportunities[:, None]
        return SequenceSums(
            sequence=numbers,
            document=self.document[first],
            n_opportunities=summed(every),
            n_gated=summed(self.n_gated),
            n_defined=summed(self.weight),
            sum_share=summed(self.share),
        )


def merged(parts: Sequence[RelationTally]) -> RelationTally:
    """One tally of several that read other sequences, as if one had read all, in corpus order.

    Raises Mismatch where they were made under other choices.
    """
    first = parts[0]
    for part in parts[1:]:
        same = ("choices", "relations", "match", "null", "n_layers")
        if any(getattr(part, name) != getattr(first, name) for name in same):
            raise Mismatch("tallies of other choices or relations: merge parts of one run")
    arrays = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(first)
        if isinstance(getattr(first, f.name), np.ndarray)
    }
    offsets = np.cumsum([0, *(len(part.sequence) for part in parts[:-1])])
    arrays["event_triplet"] = np.concatenate(
        [part.event_triplet + offset for part, offset in zip(parts, offsets, strict=True)]
    )
    return _in_order(replace(first, **arrays))


def _in_order(tally: RelationTally) -> RelationTally:
    order = np.argsort(tally.sequence, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    n = len(order)
    events = np.argsort(rank[tally.event_triplet], kind="stable")
    changed = {
        f.name: getattr(tally, f.name)[order]
        for f in fields(tally)
        if isinstance(getattr(tally, f.name), np.ndarray)
        and not f.name.startswith("event_")
        and len(getattr(tally, f.name)) == n
    }
    changed |= {
        "event_triplet": rank[tally.event_triplet][events],
        "event_position": tally.event_position[events],
        "event_gates": tally.event_gates[events],
    }
    return replace(tally, **changed)
