"""Every detector names the head that was made for it, and no other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.heads.registry import registry
from interp.heads.score import score_heads
from interp.heads.scores import HeadScores
from interp.models.load import load
from tests.heads.planted import (
    HEADS,
    IDS,
    MADE_OF,
    N_HEADS,
    N_LAYERS,
    N_POSITIONS,
    WORDS,
    planted_directory,
    planted_relations,
    planted_text,
)

pytestmark = pytest.mark.slow
TRUTH = {
    "previous_token": "previous_token",
    "offset.2": "two_back",
    "duplicate_token": "duplicate_token",
    "prefix_matching": "induction",
    "copying": "induction",
    "ov_copying": "induction",
    "induction": "induction",
    "successor": "successor",
    "copy_suppression": "copy_suppression",
    "copy_suppression.qk": "copy_suppression",
    "copy_suppression_text": "copy_suppression",
    "anti_induction": "anti_induction",
    "relation.made-of": "made-of",
    "relation.used-for": "used-for",
}
"""Column -> the head that it is of."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return planted_directory(tmp_path_factory.mktemp("planted") / "model")


@pytest.fixture(scope="module")
def scores(directory) -> HeadScores:
    text = directory.parent / "text.txt"
    text.write_text(planted_text(24, seed=0))
    return score_heads(
        load(str(directory)),
        text=text,
        relations=planted_relations(24, seed=0, directory=directory),
        length=N_POSITIONS,
        sequences=24,
        draws=1_000,
        bootstrap=200,
        offsets=(2,),
    )


def test_every_detector_that_runs_unasked_has_a_planted_head(scores):
    assert {column.name for column in scores.columns} == set(TRUTH)
    unasked = {name for name, detector in registry().items() if not detector.only_named}
    assert {column.detector for column in scores.columns} == unasked


@pytest.mark.parametrize("column", TRUTH)
def test_a_detector_names_exactly_its_head(scores, column):
    planted = HEADS[TRUTH[column]]
    assert [tuple(head) for head in scores.significant(column)] == [planted]
    assert [tuple(head) for head in scores.top(column, 1)] == [planted]


@pytest.mark.parametrize("column", TRUTH)
def test_its_score_is_one_and_all_other_heads_are_far_below(scores, column):
    found = scores.array("score", column)
    others = np.ones((N_LAYERS, N_HEADS), bool)
    others[HEADS[TRUTH[column]]] = False
    one = next(c for c in scores.columns if c.name == column)
    if one.high == 1.0:
        assert found[HEADS[TRUTH[column]]] > 0.99
        assert np.nanmax(found[others], initial=0.0) < 0.25
    else:
        assert np.nanmax(found[others], initial=0.0) < 0.05 * found[HEADS[TRUTH[column]]]


def test_retrieval_is_done_by_the_head_that_copies(directory):
    """The suppressor looks at one or two of the days that are written: no exact zero elsewhere."""
    found = score_heads(
        load(str(directory)), ["retrieval"], length=24, draws=200, bootstrap=50, n_haystacks=8
    ).array("score", "retrieval")
    assert found[HEADS["induction"]] > 0.99
    others = np.ones(found.shape, bool)
    others[HEADS["induction"]] = False
    assert np.nanmax(found[others], initial=0.0) < 0.25


def test_what_the_heads_predict_is_worked_out_on_paper(directory):
    """A day is followed by the next day, a cue by the tail of the thing before it."""
    model = load(str(directory))
    words = ["<bos>", "Monday", "the", "pen", "of", "made-of"]
    with torch.no_grad():
        logits = model(torch.tensor([[IDS[word] for word in words]]))[0]
    assert WORDS[int(logits[1].argmax())] == "Tuesday"
    assert WORDS[int(logits[5].argmax())] == MADE_OF["pen"]
    assert torch.allclose(logits.max(-1).values[[1, 5]], torch.ones(2), atol=1e-4)
