"""Each weight detector names the head that was built for it, grouped-query attention included."""

import numpy as np
import pytest

from interp.heads.attention import HeadGeometry, read_layers
from interp.heads.columns import Head
from interp.heads.detector import Detector, Scoring
from interp.heads.detectors import copy_suppression, copying, ov_copying, successor
from interp.heads.scores import HeadScores
from interp.heads.tokens import repeated_tokens
from interp.results.errors import BadInput
from tests.heads.weights.planted import COPY, IDLE, SHIFT, SUPPRESS, N, planted_bridge


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def scoring(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scoring:
    bridge = planted_bridge(request.param, tmp_path_factory.mktemp("planted"))
    return Scoring(
        bridge=bridge,
        geometry=HeadGeometry.of(bridge),
        model_hash=None,
        command="test",
        draws=2000,
        options={"classes": {"circle": {"members": list(range(N)), "cyclic": True}}},
    )


def run(detector: Detector, scoring: Scoring) -> HeadScores:
    assert detector.run is not None
    return detector.run(scoring)


def test_identity_copies_by_eigenvalues_and_its_negation_suppresses(scoring: Scoring) -> None:
    found = run(ov_copying.DETECTOR, scoring)
    score = found.array("score", "ov_copying")[1]
    np.testing.assert_allclose(score[[COPY, SUPPRESS]], [1, -1], atol=1e-4)
    assert abs(score[SHIFT]) < 0.1 and np.isnan(score[IDLE])
    assert found.significant("ov_copying") == [Head(1, COPY)]


def test_a_cyclic_shift_is_the_successor_head_and_identity_is_told_apart(scoring: Scoring) -> None:
    found = run(successor.DETECTOR, scoring)
    np.testing.assert_array_equal(found.array("score", "successor")[1], [0, 1, 0, 0])
    np.testing.assert_array_equal(found.array("identity", "successor")[1], [1, 0, 0, 0])
    assert found.significant("successor") == [Head(1, SHIFT)]
    assert found.array("null_mean", "successor")[1, SHIFT] == pytest.approx(1 / (N - 1), abs=0.02)


def test_minus_identity_suppresses_and_attends_to_what_is_predicted(scoring: Scoring) -> None:
    found = run(copy_suppression.DETECTOR, scoring)
    for column in ("copy_suppression", "copy_suppression.qk"):
        np.testing.assert_array_equal(found.array("score", column)[1], [0, 0, 1, 0])
        assert found.significant(column) == [Head(1, SUPPRESS)]
    assert found.array("null_mean", "copy_suppression")[1, SUPPRESS] == pytest.approx(
        1 / N, abs=0.02
    )


def test_the_head_that_writes_what_it_attends_to_copies(scoring: Scoring) -> None:
    tokens = repeated_tokens(scoring.regular, sequences=30, length=12, seed=0)
    assert copying.DETECTOR.observe is not None
    observer = copying.DETECTOR.observe(scoring)
    read_layers(scoring.bridge, tokens.batches(8), [observer])
    found = observer.finish()
    score = found.array("score", "copying")
    assert score[1, COPY] > 0.99
    assert np.isnan(score[0]).all() and np.isnan(score[1, IDLE])
    assert found.significant("copying") == [Head(1, COPY)]


def test_a_vocabulary_without_classes_is_not_tested_and_says_so(scoring: Scoring) -> None:
    plain = Scoring(
        bridge=scoring.bridge, geometry=scoring.geometry, model_hash=None, command="test", draws=10
    )
    found = run(successor.DETECTOR, plain)
    assert not found.tested("successor").any()
    assert "give your own" in found.notes["successor"]["not_tested"]


def test_a_class_of_tokens_the_model_has_not_is_refused(scoring: Scoring) -> None:
    other = Scoring(
        bridge=scoring.bridge,
        geometry=scoring.geometry,
        model_hash=None,
        command="test",
        options={"classes": {"x": [0, 1, N]}},
    )
    with pytest.raises(BadInput, match=f"token {N}: the model has {N}"):
        run(successor.DETECTOR, other)
