"""Induction heads: they attend to what followed an earlier copy, and raise what they attend to."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import false_discovery, standardisation

PARTS = ("prefix_matching", "copying")


def _derive(scoring: Scoring, found: Mapping[str, HeadScores]) -> HeadScores:
    parts = [found[name] for name in PARTS]
    units = [standardisation(*scoring.families[name]) for name in PARTS]
    score = np.minimum(*(part.z for part in parts))
    drawn = np.minimum(*(_drawn_z(scoring, *of) for of in zip(PARTS, units, strict=True)))
    mean, sd = standardisation(score, drawn)
    p = np.maximum(*(part.p for part in parts))
    ends = [_ends_in_z(*of) for of in zip(parts, units, strict=True)]
    return HeadScores(
        columns=(DETECTOR.column(),),
        score=score,
        null_mean=drawn.mean(axis=0),
        null_sd=drawn.std(axis=0),
        z=(score - mean) / sd,
        p=p,
        p_adj=np.maximum(*(part.p_adj for part in parts)),
        q=false_discovery(p),
        ci_low=np.minimum(ends[0][0], ends[1][0]),
        ci_high=np.minimum(ends[0][1], ends[1][1]),
        n_events=np.fmin(*(part.n_events for part in parts)),
        n_sequences=np.fmin(*(part.n_sequences for part in parts)),
        provenance=scoring.provenance(DETECTOR.inputs),
        notes={DETECTOR.name: {k: v for part in parts for k, v in _floor(part).items()}},
        settings={DETECTOR.name: {"parts": list(PARTS)}},
    )


def _drawn_z(
    scoring: Scoring, name: str, unit: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "draws layers heads columns"]:
    mean, sd = unit
    return (scoring.families[name].draws - mean) / sd


def _ends_in_z(
    part: HeadScores, unit: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the part's interval on the scale of its z."""
    mean, sd = unit
    return (part.ci_low - mean) / sd, (part.ci_high - mean) / sd


def _floor(part: HeadScores) -> Mapping[str, str]:
    notes = part.notes.get(part.names[0], {})
    return {key: value for key, value in notes.items() if key == "smallest_p"}


DETECTOR = Detector(
    name="induction",
    version=2,
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
    chance="about -0.56, the mean of the smaller of two independent z if both are normal",
    null=(
        "by chance and z: the smaller of the z of a draw of each null; p is the larger of the two "
        "p, and so is p adj: a head must pass both tests (intersection-union)"
    ),
    derive=_derive,
    after=PARTS,
)
