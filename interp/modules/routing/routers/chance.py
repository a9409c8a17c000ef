"""Chance: experts drawn for every token anew, the null of every router."""

import torch

from interp.modules.routing.router import Lesson, Router, Scorer


def fit(lesson: Lesson) -> Scorer:
    """Independent uniform scores: k of E experts hold k/E of the contribution in expectation."""
    generator = torch.Generator().manual_seed(lesson.seed)
    n_experts = lesson.layer.n_experts
    return lambda x: torch.rand((len(x), n_experts), generator=generator).to(x)


ROUTER = Router(
    name="chance",
    question="nothing: a random score",
    source="the expectation is k/E",
    reads="input",
    fit=fit,
)
