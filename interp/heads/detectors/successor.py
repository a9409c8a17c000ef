"""Successor heads: reading a member of an ordered class, they write the next one."""

from functools import partial

import numpy as np

from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.weights.ordinal import OrdinalClass, ordinal_classes
from interp.heads.weights.shared import circuits_of, on_device, single_token
from interp.heads.weights.successor import best_members, order_shares, permuted_shares


def _run(scoring: Scoring) -> HeadScores:
    g = scoring.geometry
    classes = ordinal_classes(
        single_token(scoring), scoring.options.get("classes"), d_vocab=g.d_vocab
    )
    shape = (g.n_layers, g.n_heads, 1)
    shares = {name: np.full(shape, np.nan) for name in ("successor", "predecessor", "identity")}
    draws = np.full((scoring.draws, *shape), np.nan)
    if classes:
        found = [_class_scores(scoring, one) for one in classes]
        for name in shares:
            shares[name] = np.mean([of_class[name] for of_class, _ in found], axis=0)[..., None]
        draws = np.mean([null for _, null in found], axis=0)[..., None]
    return concluded(
        DETECTOR,
        scoring,
        observed=shares["successor"],
        draws=draws,
        n_events=float(sum(len(one.pairs) for one in classes)),
        n_sequences=0.0,
        extras={name: shares[name] for name in ("predecessor", "identity")},
        notes={"successor": _notes(classes)},
    )


def _class_scores(scoring: Scoring, one: OrdinalClass) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Shares of one class by layer and head, and the successor shares under random orders."""
    circuits, g = circuits_of(scoring), scoring.geometry
    ids = on_device(scoring, one.tokens)
    logits = [circuits.ov_entries(layer, ids, ids) for layer in range(g.n_layers)]
    best = np.concatenate([best_members(of_layer.cpu().numpy()) for of_layer in logits])
    split = partial(np.reshape, shape=(g.n_layers, g.n_heads))
    shares = {name: split(values) for name, values in order_shares(best, one)._asdict().items()}
    rng = scoring.rng(f"successor/null/{one.name}")
    null = permuted_shares(best, one, draws=scoring.draws, rng=rng)
    return shares, null.reshape(-1, g.n_layers, g.n_heads)


def _notes(classes: tuple[OrdinalClass, ...]) -> dict[str, object]:
    if not classes:
        return {
            "not_tested": "no class of three or more single tokens in this vocabulary: give your "
            "own as `classes`, words or token ids in order"
        }
    return {
        "classes": {
            one.name: {"single_tokens": len(one.tokens), "members": one.n_members}
            for one in classes
        }
    }


DETECTOR = Detector(
    name="successor",
    version=1,
    definition=(
        "share of the members of an ordered class (days, numbers, ...) whose successor gets the "
        "largest logit among the class when the head attends to them, mean over classes"
    ),
    source="arXiv 2312.09230, section 2; embeddings after block 0 (2310.04625, appendix I)",
    unit="share of members",
    needs=frozenset({"weights"}),
    inputs="none",
    low=0.0,
    high=1.0,
    chance="1 / members of the class",
    null="the members of each class in random orders, one a draw for all heads",
    run=_run,
    options=("classes",),
)
