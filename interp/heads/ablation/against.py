"""Scores against effects: whether heads that score high are heads whose loss is felt."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from interp.heads.ablation.result import EFFECTS, AblationResult
from interp.heads.ablation.statistics import rank_correlation
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput, Mismatch


def score_against_effect(
    found: AblationResult, scores: HeadScores, *, detector: str = "relation", by: str = "score"
) -> Float[np.ndarray, "effects columns 3"]:
    """Spearman's rho of any scores with the single-head effects of an ablation, p, and n.

    As `found.correlation` has it for its own scores; `by` is an array of the scores, such as
    `per_opportunity`. Mismatch for scores of a model of another shape.
    """
    shape = found.attributed.shape[0], found.attributed.shape[1]
    score = scores_by_relation(scores, found.relations, shape, detector=detector, by=by)
    effects = {name: getattr(found, name) for name in EFFECTS}
    return correlations(score, effects, seed=found.provenance.seed or 0)


def scores_by_relation(
    scores: HeadScores | None,
    relations: Sequence[str],
    shape: tuple[int, int],
    *,
    detector: str,
    by: str = "score",
) -> Float[np.ndarray, "layers heads columns"]:
    """A detector's scores by relation; NaN in the first column, which is over all of them."""
    found = np.full((*shape, 1 + len(relations)), np.nan)
    if scores is None:
        return found
    if scores.score.shape[:2] != shape:
        raise Mismatch(
            f"scores of {scores.n_layers} layers of {scores.n_heads} heads, and a model of "
            f"{shape[0]} of {shape[1]}: score the heads of this model"
        )
    own = {c.relation: c.name for c in scores.columns if c.detector == detector}
    if not own:
        known = ", ".join(sorted({column.detector for column in scores.columns}))
        raise BadInput(f"the scores have no column of {detector!r}: there are {known}")
    for i, relation in enumerate(relations):
        if relation in own:
            found[..., 1 + i] = scores.array(by, own[relation])
    return found


def refuse_other_model(
    scores: HeadScores | None, model_hash: str, *, other_checkpoint: bool
) -> tuple[str, ...]:
    """What is to be said of scores of another model where that was asked; Mismatch where not."""
    theirs = None if scores is None else scores.provenance.model_hash
    if theirs is None or theirs == model_hash:
        return ()
    if not other_checkpoint:
        raise Mismatch(
            f"the scores are of model {theirs[:12]} and this one is {model_hash[:12]}: score the "
            "heads of this model, or allow scores of another checkpoint of it (--other-checkpoint)"
        )
    return (f"The scores are of another checkpoint, model {theirs[:12]}.",)


def correlations(
    score: Float[np.ndarray, "layers heads columns"],
    effects: Mapping[str, Float[np.ndarray, "layers heads columns 3"]],
    *,
    seed: int,
) -> Float[np.ndarray, "effects columns 3"]:
    """Of each effect: pooled over relations in the first column, then relation by relation."""
    n = score.shape[-1]
    flat = score.reshape(-1, n)
    found = np.full((len(EFFECTS), n, 3), np.nan)
    for e, name in enumerate(EFFECTS):
        effect = effects[name][..., 0].reshape(-1, n)
        for c in range(n):
            own = slice(1, None) if c == 0 else slice(c, c + 1)
            rng = np.random.default_rng([seed, 29])
            found[e, c] = rank_correlation(flat[:, own], effect[:, own], rng=rng)
    return found
