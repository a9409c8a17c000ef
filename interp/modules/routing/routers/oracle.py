"""The oracle: experts by what they truly contribute. Needs the neurons it would save."""

from interp.modules.routing.router import Lesson, Router, Scorer


def fit(lesson: Lesson) -> Scorer:
    """The true score itself."""
    return lesson.measure


ROUTER = Router(
    name="oracle",
    question="the expert's true contribution",
    source="MoEfication, 2110.01786 (ground truth)",
    reads="neurons",
    fit=fit,
)
