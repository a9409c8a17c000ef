"""Copy suppression by weights: heads that lower what they attend to, and attend to what is due."""

import numpy as np
from scipy.sparse import csr_array

from interp.heads.columns import Column
from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import sequence_bootstrap
from interp.heads.weights.low_rank import among_lowest, is_largest
from interp.heads.weights.shared import asked_tokens, circuits_of, k_of, on_device


def _run(scoring: Scoring) -> HeadScores:
    g = scoring.geometry
    tokens = asked_tokens(scoring)
    k = k_of(g.d_vocab)
    marks = _marks(scoring, tokens, k)
    own = np.arange(len(tokens))
    shape = (g.n_layers, g.n_heads, 2)
    interval = None
    if len(tokens) < len(scoring.regular.ids):
        rng = scoring.rng("copy_suppression/bootstrap")
        sampled = marks[:, own, own].T.astype(float)
        interval = sequence_bootstrap(sampled, draws=scoring.bootstrap, rng=rng)
        interval = interval.reshape(2, *shape)
    return concluded(
        DETECTOR,
        scoring,
        observed=marks[:, own, own].mean(-1).reshape(shape),
        draws=_permuted(scoring, marks).reshape(-1, *shape),
        columns=_columns(k),
        interval=interval,
        n_events=float(len(tokens)),
        n_sequences=0.0,
        notes={"copy_suppression": {"k": k}},
        settings={"k": k, "tokens": len(tokens)},
    )


def _marks(scoring: Scoring, tokens: np.ndarray, k: int) -> np.ndarray:
    """[layers * heads * (ov, qk), tokens, tokens]: whether the second is marked for the first."""
    circuits, g = circuits_of(scoring), scoring.geometry
    ids = on_device(scoring, tokens)
    marks = np.empty((g.n_layers, g.n_heads, 2, len(tokens), len(tokens)), bool)
    for layer in range(g.n_layers):
        written, attended = circuits.ov_factors(layer, ids), circuits.qk_factors(layer, ids)
        for head in range(g.n_heads):
            every = ids.expand(len(ids), -1)
            lowest = among_lowest(written[0][head], written[1][head], every, k)
            marks[layer, head, 0] = lowest.cpu().numpy()
            first = is_largest(attended[0][head], attended[1][head], ids)
            marks[layer, head, 1] = first.cpu().numpy()
    return marks.reshape(-1, len(tokens), len(tokens))


def _permuted(scoring: Scoring, marks: np.ndarray) -> np.ndarray:
    """Shares marked when every token is asked about another, one permutation a draw for all."""
    rng, n = scoring.rng("copy_suppression/null"), marks.shape[-1]
    orders = rng.permuted(np.tile(np.arange(n), (scoring.draws, 1)), axis=1)
    flat = marks.reshape(len(marks), -1)
    used = np.flatnonzero(flat.any(axis=0))
    place = np.full(n * n, -1)
    place[used] = np.arange(len(used))
    at = place[np.arange(n) * n + orders]
    draw, _ = hits = np.nonzero(at >= 0)
    asked = csr_array((np.ones(len(draw)), (draw, at[hits])), shape=(len(orders), len(used)))
    return np.asarray(asked @ flat[:, used].T.astype(float)) / n


def _columns(k: int) -> list[Column]:
    return [
        DETECTOR.column(
            definition=(
                f"share of tokens that are among the {k} whose logit the head lowers most when it "
                "attends to them"
            ),
            chance=f"{k} / d_vocab",
        ),
        DETECTOR.column(
            "copy_suppression.qk",
            definition=(
                "share of tokens that the head attends to most, of all tokens, from a place where "
                "they are predicted"
            ),
            chance="1 / d_vocab",
        ),
    ]


DETECTOR = Detector(
    name="copy_suppression",
    version=1,
    definition="share of tokens lowered when attended to, and attended to when predicted",
    source="arXiv 2310.04625, section 3.1 and appendix I",
    unit="share of tokens",
    needs=frozenset({"weights"}),
    inputs="none",
    low=0.0,
    high=1.0,
    chance="10 / d_vocab (OV) and 1 / d_vocab (QK)",
    null="the tokens asked about exchanged at random, one permutation a draw for all heads",
    run=_run,
)
