"""Copying as arXiv 2212.09095 computes it: at the current token's embedding, for comparison."""

import numpy as np

from interp.heads.conclusion import concluded_by_sequence
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.tokens import RandomTokens, repeated_tokens
from interp.heads.writing.embedded import embedded_copying
from interp.models.context import length_within

SEQUENCES = 100


def _tokens(scoring: Scoring) -> RandomTokens:
    return repeated_tokens(
        scoring.regular,
        sequences=SEQUENCES,
        length=length_within(scoring.bridge, scoring.options.get("length")),
        seed=scoring.seed,
    )


def _cost(scoring: Scoring) -> str:
    length = _tokens(scoring).tokens.shape[1]
    return f"copying_bansal: {SEQUENCES} forward passes of {length} tokens of its own"


def _run(scoring: Scoring) -> HeadScores:
    tokens = _tokens(scoring)
    values = [
        embedded_copying(scoring.geometry, batch, controls=scoring.controls, seed=scoring.seed)
        for batch in tokens.batches(scoring.batch_size)
    ]
    return concluded_by_sequence(
        DETECTOR,
        scoring,
        values=np.concatenate(values)[..., None],
        settings={"tokens": tokens.description, "tokens_hash": tokens.hash},
    )


DETECTOR = Detector(
    name="copying_bansal",
    version=1,
    definition=(
        "share of the token attended to most in what the head's values at the current token raise "
        "among the tokens seen, every layer fed the embeddings: not what the head does "
        "in the model, kept for comparison with the paper"
    ),
    source="arXiv 2212.09095, section on copying (amazon-science/llm-interpret)",
    unit="share",
    needs=frozenset({"attention", "values", "intervene"}),
    inputs="none",
    low=0.0,
    high=1.0,
    chance="mean of 1 / tokens seen",
    null="another token seen in place of the one attended to most",
    run=_run,
    cost=_cost,
    only_named=True,
)
