"""Detector: one way to score heads, as a value; and what it is given to do so.

A detector that reads attention or values makes an observer, and shares its forward passes with all
others fed the same; one that reads weights, generates or intervenes does its own work in `run`; one
that combines others has `derive`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import Observer
from interp.heads.columns import Column
from interp.heads.scores import HeadScores
from interp.heads.tokens import RegularTokens, regular_tokens
from interp.results.hashing import sha256_bytes
from interp.results.provenance import Provenance

Need = Literal["weights", "attention", "values", "generate", "intervene"]
Inputs = Literal["text", "repeated", "random", "relations", "items", "none"]
"""`random` is the first repeat of the repeated sequences: nothing there has an earlier copy."""


Made = TypeVar("Made")


class Family(NamedTuple):
    """The tests of one detector: what was seen, and every draw of its null."""

    observed: Float[np.ndarray, "layers heads columns"]
    draws: Float[np.ndarray, "draws layers heads columns"]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """One call of `score_heads`: the model, what it is fed, and how much is drawn."""

    bridge: TransformerBridge
    geometry: HeadGeometry
    model_hash: str | None
    command: str
    draws: int = 10_000
    """Relabellings behind every p."""
    bootstrap: int = 2_000
    controls: int = 10
    """Control labels of a sequence, the true one not counted."""
    seed: int = 0
    batch_size: int = 8
    corpus_hashes: dict[str, str] = field(default_factory=dict)
    """By kind of input: the hash of what is fed."""
    n_sequences: dict[str, int] = field(default_factory=dict)
    """By kind of input, where the number is known beforehand."""
    lengths: dict[str, int] = field(default_factory=dict)
    """By kind of input: no sequence is longer."""
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By kind of input: how it was made; JSON values."""
    text: Any = None
    relations: Any = None
    """An opened RelationCorpus, or None."""
    items: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments by name, as `pattern`: a detector reads those that are its own."""

    families: dict[str, Family] = field(default_factory=dict, repr=False)
    """By detector that has finished: for those derived from others."""
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def shared(self, name: str, make: Callable[[], Made]) -> Made:
        """What several detectors need and is costly: made by the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def regular(self) -> RegularTokens:
        """The ids that random tokens are drawn from."""
        return self.shared("regular tokens", lambda: regular_tokens(self.bridge))

    def rng(self, name: str) -> np.random.Generator:
        """A generator for one use: it does not depend on which other detectors run."""
        digest = sha256_bytes(f"interp.heads/{self.seed}/{name}".encode())
        return np.random.default_rng(int(digest[:15], 16))

    def provenance(self, inputs: Inputs, **settings: Any) -> Provenance:
        """Of a result made from one kind of input."""
        kind = "repeated" if inputs == "random" else inputs
        return Provenance.collect(
            self.command,
            model_hash=self.model_hash,
            corpus_hash=self.corpus_hashes.get(kind),
            seed=self.seed,
            settings={
                "inputs": {kind: self.inputs.get(kind, {})},
                "draws": self.draws,
                "bootstrap": self.bootstrap,
                **settings,
            },
        )


@runtime_checkable
class ScoringObserver(Observer, Protocol):
    """An observer that says in the end what it saw."""

    def finish(self) -> HeadScores:
        """After the last batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What a number of a head is, where it is from, what it needs and what chance gives."""

    name: str
    version: int
    """Goes up when the same model and input would give another number."""
    definition: str
    source: str
    unit: str
    needs: frozenset[Need]
    inputs: Inputs
    low: float | None
    high: float | None
    chance: str
    null: str
    observe: Callable[[Scoring], ScoringObserver] | None = None
    run: Callable[[Scoring], HeadScores] | None = None
    derive: Callable[[Scoring, Mapping[str, HeadScores]], HeadScores] | None = None
    """From the results of the detectors in `after` (their draws are in `Scoring.families`)."""
    after: tuple[str, ...] = ()
    cost: Callable[[Scoring], str] | None = None
    """One line said before it starts, for one that needs many forward passes."""
    options: tuple[str, ...] = ()
    """Names of the further arguments of `score_heads` that it reads."""
    only_named: bool = False
    """Run only where it is asked for by name: it is slow, or needs an input of its own."""

    @property
    def shares(self) -> bool:
        """Whether it shares its forward passes."""
        return self.observe is not None

    def column(
        self, name: str | None = None, *, relation: str | None = None, **changed: Any
    ) -> Column:
        """The column of this detector, or one of several, with what differs in it."""
        own = Column(
            name=name or self.name,
            detector=self.name,
            relation=relation,
            definition=self.definition,
            source=self.source,
            version=self.version,
            unit=self.unit,
            low=self.low,
            high=self.high,
            chance=self.chance,
            null=self.null,
            inputs=self.inputs,
        )
        return replace(own, **changed)
