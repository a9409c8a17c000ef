"""Three tasks like those of GLUE, from grammars: acceptability, sentiment and entailment."""

import numpy as np

from probes.labelled.acceptability import acceptability_lines
from probes.labelled.entailment import entailment_lines
from probes.labelled.generator import Generator
from probes.labelled.line import LabelledLine
from probes.labelled.sentiment import sentiment_lines


def task_lines(seed: int, n: int) -> list[LabelledLine]:
    """At most `n` lines of each label of each task, two thirds of them to train on."""
    rng = np.random.default_rng(seed)
    return [
        *acceptability_lines(n, rng),
        *sentiment_lines(n, rng),
        *entailment_lines(n, rng),
    ]


GENERATOR = Generator(
    name="task",
    kind="task",
    functions=("acceptability", "sentiment", "entailment"),
    question="the sentence is acceptable; the review praises; the second sentence follows",
    source="CoLA, SST-2 and RTE as functions, 2305.18390; grammars and words are ours",
    file=None,
    file_required=False,
    make=lambda seed, n, file: task_lines(seed, n),  # noqa: ARG005
)
