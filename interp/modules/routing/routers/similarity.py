"""Similarity: experts whose mean direction lies closest to the input's."""

import torch

from interp.modules.routing.router import Lesson, Router, Scorer, expert_means, unit


def fit(lesson: Lesson) -> Scorer:
    """−‖x/‖x‖ − c_e‖, with c_e the mean of the members' rows at unit length."""
    centres = expert_means(unit(lesson.layer.rows.float()), lesson.layer)
    return lambda x: -torch.cdist(unit(x), centres.to(x))


ROUTER = Router(
    name="similarity",
    question="minus the distance of the input's direction from the expert's mean direction",
    source="MoEfication, 2110.01786",
    reads="input",
    fit=fit,
)
