"""The one head that carries the planted task is named, and its vector is the task."""

from pathlib import Path

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.columns import Head
from interp.heads.function_vectors.adding import function_vectors
from interp.heads.function_vectors.score import ScoredTasks, score_function_vectors
from interp.models.load import load
from tests.heads.function_vectors.planted import CARRIER, TEMPLATE, the_task, write_planted


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    directory: Path = tmp_path_factory.mktemp("function vector") / "planted"
    return load(write_planted(directory), device="cpu")


@pytest.fixture(scope="module")
def scored(bridge: TransformerBridge) -> ScoredTasks:
    return score_function_vectors(
        bridge,
        [the_task()],
        template=TEMPLATE,
        n_shots=4,
        n_donors=10,
        n_trials=10,
        donor_draws=29,
        say=lambda _: None,
    )


def test_the_head_that_carries_the_task_is_named_and_no_other(scored: ScoredTasks) -> None:
    scores = scored.scores
    assert scores.significant("function_vector") == [Head(*CARRIER)]
    found = scores.array("score", "function_vector")
    assert found[CARRIER] > 0.2 and scores.array("ci_low", "function_vector")[CARRIER] > 0.1
    assert np.abs(np.delete(found.ravel(), CARRIER[0] * 4 + CARRIER[1])).max() < 1e-6
    assert scores.array("null_mean", "function_vector")[CARRIER] < 0.5 * found[CARRIER]


def test_its_vector_makes_the_model_do_the_task_without_demonstrations(
    bridge: TransformerBridge, scored: ScoredTasks
) -> None:
    found = function_vectors(bridge, *scored, k=1, draws=3, say=lambda _: None)
    assert found.heads == (Head(*CARRIER),)
    assert found.plain_accuracy[0] == 0.0 and found.few_shot_accuracy[0] == 1.0
    assert (found.accuracy == 1.0).all() and (found.random_accuracy == 0.0).all()
    assert found.p_random(1) == 0.25
    assert (found.shuffled_log_probability < found.log_probability).all()
