"""Retrieval heads: how much of a needle a head looks at while the model copies it."""

from dataclasses import fields

from interp.heads.detector import Detector, Scoring
from interp.heads.retrieval.haystack import read_needles
from interp.heads.retrieval.making import lines_for, needles_for
from interp.heads.retrieval.run import Haystacks, Settings, cost, score_haystacks
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput


def haystacks_of(scoring: Scoring) -> Haystacks:
    """Needles (`needles`, a file) in `scoring.text`, or key-value lines; made once a call."""
    return scoring.shared("haystacks", lambda: _make(scoring))


def settings_of(scoring: Scoring) -> Settings:
    """`Settings` with what the options of this call say of them."""
    options = scoring.options
    return Settings(
        **{f.name: options[f.name] for f in fields(Settings) if options.get(f.name) is not None}
    )


def _make(scoring: Scoring) -> Haystacks:
    needles, settings = scoring.options.get("needles"), settings_of(scoring)
    if needles is None:
        rng = scoring.rng("retrieval/lines")
        return lines_for(scoring.bridge, scoring.regular, settings, rng)
    if scoring.text is None:
        raise BadInput("retrieval hides needles in text: give --text, or no needles")
    return needles_for(
        scoring.bridge,
        scoring.text,
        read_needles(needles),
        bos_id=scoring.regular.bos_id,
        settings=settings,
    )


def _cost(scoring: Scoring) -> str:
    return cost(scoring, haystacks_of(scoring))


def _run(scoring: Scoring) -> HeadScores:
    return score_haystacks(DETECTOR, scoring, haystacks_of(scoring), settings_of(scoring))


DETECTOR = Detector(
    name="retrieval",
    version=1,
    definition=(
        "share of the needle's positions that the head attends to most while the token there is "
        "written, each counted once, over runs in which more than half of the needle was written"
    ),
    source="arXiv 2404.15574, section 2: |g_h ∩ k| / |k|",
    unit="share of the needle",
    needs=frozenset({"generate", "attention"}),
    inputs="none",
    low=0.0,
    high=1.0,
    chance="near 0: another span holds the written tokens as rarely as any",
    null="another span of the same prompt, as long as the needle",
    run=_run,
    cost=_cost,
    only_named=True,
    options=("needles", *(f.name for f in fields(Settings))),
)
