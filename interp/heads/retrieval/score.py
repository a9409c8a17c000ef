"""Retrieval heads from Python."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.cost import Say, to_standard_error
from interp.heads.detector import Scoring
from interp.heads.detectors.retrieval import DETECTOR
from interp.heads.loaded import hash_as_loaded
from interp.heads.retrieval.run import Settings
from interp.heads.scores import HeadScores


def score_retrieval(
    bridge: TransformerBridge,
    *,
    text: Any = None,
    needles: Path | None = None,
    settings: Settings | None = None,
    controls: int = 10,
    draws: int = 10_000,
    batch_size: int = 8,
    seed: int = 0,
    say: Say = to_standard_error,
) -> HeadScores:
    """The retrieval score of every head.

    With `needles`, a jsonl file of needle and question a line, in `text` (what `open_corpus`
    takes); without, on key-value lines of random tokens. What it will cost is said first.
    """
    scoring = Scoring(
        bridge=bridge,
        geometry=HeadGeometry.of(bridge),
        model_hash=hash_as_loaded(bridge),
        command="interp heads score MODEL --detector retrieval",
        controls=controls,
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        text=text,
        options={"needles": needles, **asdict(settings or Settings())},
    )
    assert DETECTOR.cost is not None and DETECTOR.run is not None
    say(DETECTOR.cost(scoring))
    return DETECTOR.run(scoring)
