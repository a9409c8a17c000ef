"""From haystacks to HeadScores: decode, keep the solved runs, hold the needle against others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from interp.heads.conclusion import concluded, concluded_by_sequence
from interp.heads.cost import Part, stated, timed
from interp.heads.detector import Detector, Scoring
from interp.heads.retrieval.decoding import Decoded, decode
from interp.heads.retrieval.haystack import Haystack
from interp.heads.retrieval.hits import (
    SOLVED,
    hit_positions,
    looking_share,
    random_span,
    recall,
    retrieval_share,
)
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json
from interp.results.progress import progress


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which haystacks, and how much is written after them."""

    n_haystacks: int = 50
    """Of key-value lines; of text there is one a needle, length and depth."""
    n_lines: int | None = None
    """16, or as many as fit the context and the vocabulary."""
    n_value: int = 2
    """Tokens of a value."""
    lengths: tuple[int, ...] | None = None
    """Tokens of a text haystack; the context, less what is written, and a half and a quarter."""
    depths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Where in the text the needle stands, 0 its start."""
    max_new_tokens: int = 50
    """Written after a text haystack; after key-value lines, as many as the value has."""

    def __post_init__(self) -> None:
        if min(self.n_haystacks, self.max_new_tokens, self.n_value) < 1:
            raise BadInput("haystacks, value and new tokens: expected at least 1 of each")
        if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
            raise BadInput(f"depths {self.depths}: expected shares of the text, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Haystacks:
    """What will be decoded."""

    rows: tuple[Haystack, ...]
    max_new_tokens: int
    ends: frozenset[int]
    kind: str
    """`key-value lines` or `needles in text`."""

    @property
    def hash(self) -> str:
        """Of the tokens as fed and the places of the needles."""
        return sha256_json([[row.tokens.tolist(), list(row.needle)] for row in self.rows])


def cost(scoring: Scoring, haystacks: Haystacks) -> str:
    """Prompts and written tokens, one short decoding of the longest timed."""
    longest = max(haystacks.rows, key=lambda row: len(row.tokens))
    once = timed(lambda: decode(scoring.geometry, [longest], max_new_tokens=1))
    n = len(haystacks.rows)
    step = once / len(longest.tokens)
    return stated(
        "retrieval",
        [Part("prompts", n, once), Part("written tokens", n * haystacks.max_new_tokens, step)],
    )


def score_haystacks(
    detector: Detector, scoring: Scoring, haystacks: Haystacks, settings: Settings
) -> HeadScores:
    """Retrieval scores over the solved runs, beside other spans of the same prompts.

    Where the model solved none every head is untested (NaN): a head cannot retrieve what is not
    written.
    """
    rows = haystacks.rows
    with progress("decoding", total=len(rows), unit="haystacks") as advance:
        decoded = decode(
            scoring.geometry,
            rows,
            max_new_tokens=haystacks.max_new_tokens,
            ends=haystacks.ends,
            batch_size=scoring.batch_size,
            advance=advance,
        )
    solved = [one for one in decoded if recall(one) > SOLVED]
    note = {
        "haystacks": len(rows),
        "solved": len(solved),
        "mean_recall": float(np.mean([recall(one) for one in decoded])),
        "kind": haystacks.kind,
    }
    made = asdict(settings) | {"kind": haystacks.kind}
    if not solved:
        found = _untested(detector, scoring, note, made)
    else:
        found = concluded_by_sequence(
            detector,
            scoring,
            values=_values(solved, scoring),
            n_events=float(sum(len(one.written) for one in solved)),
            extras={"looking": np.mean([looking_share(o) for o in solved], axis=0)[..., None]},
            notes={detector.name: note},
            settings=made,
        )
    return replace(found, provenance=replace(found.provenance, corpus_hash=haystacks.hash))


def _values(
    solved: Sequence[Decoded], scoring: Scoring
) -> Float[np.ndarray, "runs labels n_layers n_heads 1"]:
    """Share of the needle hit, then shares of `controls` other spans, in every run."""
    rng = scoring.rng("retrieval/spans")
    values = []
    for one in solved:
        hits = hit_positions(one)
        spans = [one.haystack.needle, *(random_span(one, rng) for _ in range(scoring.controls))]
        values.append([retrieval_share(hits, span) for span in spans])
    return np.array(values)[..., None]


def _untested(
    detector: Detector, scoring: Scoring, note: dict[str, Any], made: dict[str, Any]
) -> HeadScores:
    shape = (scoring.geometry.n_layers, scoring.geometry.n_heads, 1)
    return concluded(
        detector,
        scoring,
        observed=np.full(shape, np.nan),
        draws=np.full((1, *shape), np.nan),
        n_events=0.0,
        n_sequences=0.0,
        extras={"looking": np.full(shape, np.nan)},
        notes={detector.name: note},
        settings=made,
    )
