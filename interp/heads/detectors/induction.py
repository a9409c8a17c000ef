"""Induction heads: they attend to what followed an earlier copy, and raise what they attend to."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.results.significance import benjamini_hochberg

PARTS = ("prefix_matching", "copying")


def _derive(scoring: Scoring, found: Mapping[str, HeadScores]) -> HeadScores:
    parts = [found[name] for name in PARTS]
    drawn = np.minimum(*(_drawn_z(scoring, name) for name in PARTS))
    score = np.minimum(*(part.z for part in parts))
    p = np.maximum(*(part.p for part in parts))
    ends = [_ends_in_z(part) for part in parts]
    mean, sd = drawn.mean(axis=0), drawn.std(axis=0)
    return HeadScores(
        columns=(DETECTOR.column(),),
        score=score,
        null_mean=mean,
        null_sd=sd,
        z=np.divide(score - mean, sd, out=np.zeros_like(score), where=sd > 0),
        p=p,
        p_adj=np.maximum(*(part.p_adj for part in parts)),
        q=_false_discovery(p),
        ci_low=np.minimum(ends[0][0], ends[1][0]),
        ci_high=np.minimum(ends[0][1], ends[1][1]),
        n_events=np.fmin(*(part.n_events for part in parts)),
        n_sequences=np.fmin(*(part.n_sequences for part in parts)),
        provenance=scoring.provenance(DETECTOR.inputs),
        settings={DETECTOR.name: {"parts": list(PARTS)}},
    )


def _drawn_z(scoring: Scoring, name: str) -> Float[np.ndarray, "draws layers heads columns"]:
    draws = scoring.families[name].draws
    mean, sd = draws.mean(axis=0), draws.std(axis=0)
    return np.divide(draws - mean, sd, out=np.zeros_like(draws), where=sd > 0)


def _ends_in_z(part: HeadScores) -> tuple[np.ndarray, np.ndarray]:
    sd = np.where(part.null_sd > 0, part.null_sd, np.nan)
    return (part.ci_low - part.null_mean) / sd, (part.ci_high - part.null_mean) / sd


def _false_discovery(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    q = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    q[known] = benjamini_hochberg(p[known]) if known.any() else []
    return q


DETECTOR = Detector(
    name="induction",
    version=1,
    definition=(
        "the smaller of the z of prefix_matching and the z of copying: high only where the head "
        "both looks for copies and raises what it finds"
    ),
    source="arXiv 2209.11895: both properties define an induction head",
    unit="z",
    needs=frozenset({"attention", "values"}),
    inputs="repeated",
    low=None,
    high=None,
    chance="about -0.56, the mean of the smaller of two standard normal numbers",
    null=(
        "both nulls; p is the larger of the two p, and so is p adj: a head must pass both tests "
        "(intersection-union)"
    ),
    derive=_derive,
    after=PARTS,
)
