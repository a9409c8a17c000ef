"""Induction as the smaller of two z, and its p as the larger of two p."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.heads.attention import HeadGeometry
from interp.heads.columns import Head
from interp.heads.conclusion import concluded
from interp.heads.detector import Scoring
from interp.heads.detectors.copy_suppression_text import DETECTOR as ON_TEXT
from interp.heads.detectors.copying import DETECTOR as COPYING
from interp.heads.detectors.induction import DETECTOR
from interp.heads.detectors.prefix_matching import DETECTOR as PREFIX_MATCHING
from interp.heads.score import score_heads
from interp.heads.writing.repeated import Sample
from tests.heads.making import tiny_bridge
from tests.heads.planted import HEADS, planted_directory, planted_text


def test_a_head_must_pass_both_tests(tmp_path: Path) -> None:
    bridge = tiny_bridge("gpt2", tmp_path)
    scoring = Scoring(
        bridge=bridge, geometry=HeadGeometry.of(bridge), model_hash=None, command="test"
    )
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2, 999, 1, 4, 1))
    prefix, copying = np.zeros((2, 1, 4, 1))
    prefix[0, :3, 0], copying[0, 1:3, 0], copying[0, 3, 0] = 9, 9, np.nan
    found = {
        detector.name: concluded(detector, scoring, observed=observed, draws=null)
        for detector, observed, null in zip(
            (PREFIX_MATCHING, COPYING), (prefix, copying), draws, strict=True
        )
    }
    assert DETECTOR.derive is not None
    both = DETECTOR.derive(scoring, found)
    assert sorted(both.significant("induction")) == [Head(0, 1), Head(0, 2)]
    assert both.score[0, 0, 0] < 1 < both.score[0, 1, 0] and np.isnan(both.score[0, 3, 0])
    np.testing.assert_allclose(both.null_mean[0, :3], -1 / np.sqrt(np.pi), atol=0.1)
    tested = ~np.isnan(both.score)
    assert (both.z[tested] < np.sqrt(1000)).all()
    for name, part in found.items():
        assert (np.nan_to_num(both.p_adj) <= 1).all() and name in DETECTOR.after
        tested = ~np.isnan(both.p)
        assert (both.p[tested] >= part.p[tested]).all()


def test_the_score_and_its_interval_are_on_one_scale(tmp_path: Path) -> None:
    bridge = tiny_bridge("gpt2", tmp_path)
    scoring = Scoring(
        bridge=bridge, geometry=HeadGeometry.of(bridge), model_hash=None, command="test"
    )
    draws = np.random.default_rng(0).normal(size=(2, 99, 1, 1, 1))
    observed = np.full((1, 1, 1), 50.0)
    interval = np.stack([observed - 1, observed + 1])
    parts = zip((PREFIX_MATCHING, COPYING), draws, strict=True)
    found = {
        part.name: concluded(part, scoring, observed=observed, draws=null, interval=interval)
        for part, null in parts
    }
    assert DETECTOR.derive is not None
    both = DETECTOR.derive(scoring, found)
    assert both.ci_low.item() < both.score.item() < both.ci_high.item()


def test_the_planted_head_and_no_other_is_found_on_repeats_and_on_a_text(tmp_path: Path) -> None:
    planted_directory(tmp_path / "model")
    text = tmp_path / "text.txt"
    lines = planted_text(16, seed=0)
    text.write_text(lines if isinstance(lines, str) else "\n".join(lines))
    found = score_heads(
        tmp_path / "model",
        [DETECTOR, ON_TEXT],
        text=text,
        sequences=16,
        draws=500,
        bootstrap=100,
    )
    assert found.significant("induction") == [Head(*HEADS["induction"])]
    assert found.array("score", "copying")[HEADS["induction"]] > 0.99
    assert found.top("copy_suppression_text", 1) == [Head(*HEADS["copy_suppression"])]
    assert found.array("score", "copy_suppression_text")[HEADS["copy_suppression"]] > 0.99


@pytest.mark.parametrize("controls", [1, 20])
def test_more_controls_than_tokens_are_drawn_again(controls: int) -> None:
    sample = Sample(tokens=np.arange(5), start=0, stop=10, sequence=3)
    shifts = sample.shifts(controls, seed=0)
    assert shifts[0] == 0 and len(shifts) == controls + 1 and set(shifts[1:]) <= {1, 2, 3, 4}
    assert shifts == replace(sample, start=0).shifts(controls, seed=0)
