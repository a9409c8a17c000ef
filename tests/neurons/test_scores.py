"""NeuronScores: saved and loaded, and what follows from its arrays."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, CorruptFile
from tests.neurons.making import a_function, some_scores


def test_a_loaded_finding_is_the_saved_one(tmp_path: Path) -> None:
    saved = some_scores(baseline=True)
    found = NeuronScores.load(saved.save(tmp_path / "scores"))
    for one in fields(NeuronScores):
        before, after = getattr(saved, one.name), getattr(found, one.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
        elif one.name != "baseline":
            assert before == after
    np.testing.assert_array_equal(
        saved.baseline["random weights"], found.baseline["random weights"]
    )


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    path = some_scores().save(tmp_path / "scores")
    data = path / "data.safetensors"
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptFile, match="checksum"):
        NeuronScores.load(path)


def test_the_best_units_come_highest_first_and_dead_ones_last() -> None:
    scores = some_scores(n_units=6)
    dead = scores.score[0] == scores.score[0].max()
    scores = replace(scores, dead=dead)
    top = scores.top(0, 6)
    assert dead[top[-1]]
    assert (np.diff(scores.score[0, top[:-1]]) <= 0).all()


def test_a_function_overlaps_with_itself_wholly_and_with_others_by_counting() -> None:
    scores = some_scores(n_functions=4, n_units=20)
    overlap = scores.overlap(5)
    assert (np.diag(overlap) == 1).all()
    shared = len(set(scores.top(1, 5).tolist()) & set(scores.top(3, 5).tolist()))
    assert overlap[1, 3] == overlap[3, 1] == shared / 5


def test_the_margin_is_best_minus_second_best() -> None:
    scores = some_scores()
    ordered = np.sort(scores.score, axis=0)
    np.testing.assert_array_equal(scores.margin(), ordered[-1] - ordered[-2])
    assert np.isnan(some_scores(n_functions=1).margin()).all()


def test_unknown_functions_are_named_beside_those_there_are() -> None:
    with pytest.raises(BadInput, match="no function 'verbs': there are f0, f1, f2"):
        some_scores().index("verbs")
    with pytest.raises(BadInput, match="there are f0"):
        some_scores().of_group("verbs")


def test_names_from_a_file_are_escaped_in_a_notebook() -> None:
    scores = replace(some_scores(n_functions=1), functions=(a_function("<script>"),))
    assert "<script>" not in scores._repr_html_()
