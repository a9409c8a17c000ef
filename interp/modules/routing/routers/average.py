"""Average: experts by the mean pre-activation of their neurons; nothing is trained."""

from interp.modules.routing.router import Lesson, Router, Scorer, expert_means


def fit(lesson: Lesson) -> Scorer:
    """x · mean of the members' rows."""
    means = expert_means(lesson.layer.rows.float(), lesson.layer)
    return lambda x: x @ means.to(x).T


ROUTER = Router(
    name="average",
    question="the input times the mean of the expert's rows",
    source="EMoE, 2310.10908 (avg-k)",
    reads="input",
    fit=fit,
)
