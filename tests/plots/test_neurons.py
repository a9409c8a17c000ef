"""The figures of neuron scores draw what the finding holds, the smallest and an all-NaN one too."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from interp.neurons.specialization import Specialization
from interp.plots.neurons import overlap_matrix, score_distribution, specialization_curve
from interp.results.errors import BadInput
from tests.neurons.making import a_function, some_scores


def traces(figure: go.Figure) -> Any:
    return figure.data


def title(figure: go.Figure) -> str:
    layout: Any = figure.layout
    return layout.title.text


def two_layers(**more: object) -> Specialization:
    return Specialization(
        sites=tuple(
            some_scores(site=f"blocks.{i}.mlp.hook_post", seed=i, baseline=True, **more)  # pyright: ignore[reportArgumentType]
            for i in range(2)
        )
    )


def test_the_curve_is_the_best_of_each_site_beside_chance_and_baselines() -> None:
    found = two_layers()
    lines = {trace.name: np.array(trace.y) for trace in traces(specialization_curve(found, "f1"))}
    np.testing.assert_array_equal(lines["best unit"], [s.score[1].max() for s in found.sites])
    null = [s.null_best[1].mean() for s in found.sites]
    np.testing.assert_allclose(lines["shuffled labels, mean"], null)
    drawn = [s.baseline["random weights"][1].max() for s in found.sites]
    np.testing.assert_array_equal(lines["random weights"], drawn)


def test_every_live_unit_is_in_the_distribution_once() -> None:
    scores = some_scores(n_units=40, baseline=True)
    dead = np.arange(40) < 3
    figure = score_distribution(replace(scores, dead=dead), "f2")
    assert [sum(trace.y) for trace in traces(figure)] == [37, 37]
    assert "of 37 units at FDR 0.05" in title(figure)


def test_overlap_is_shown_against_chance() -> None:
    found = two_layers(n_units=100)
    figure = overlap_matrix(found, share=0.1)
    assert "best 10 units in common; by chance 0.100" in title(figure)
    shares = np.mean([s.overlap(10) for s in found.sites], axis=0)
    assert traces(figure)[0].text[0][1] == f"{shares[0, 1]:.3f}"
    # A function of one label is not held against itself.
    assert traces(figure)[0].text[0][0] == ""


def test_the_smallest_and_an_empty_finding_are_drawn() -> None:
    tiny = some_scores(n_functions=1, n_units=1)
    nothing = replace(tiny, score=np.full((1, 1), np.nan), q=np.full((1, 1), np.nan))
    for scores in (tiny, nothing):
        score_distribution(scores, "f0").to_json()
        specialization_curve(Specialization(sites=(scores,)), "f0").to_json()


def test_names_from_a_file_are_text() -> None:
    scores = replace(some_scores(n_functions=1), functions=(a_function("<b>x</b>"),))
    shown = str(specialization_curve(Specialization(sites=(scores,)), "<b>x</b>").to_json())
    assert "<b>" not in shown and "&lt;b" in shown
    assert "<b>" not in str(score_distribution(scores, "<b>x</b>").to_json())


def test_sites_that_answer_different_questions_are_no_curve() -> None:
    other = replace(a_function("f0"), rows_sha256="1" * 64)
    one = some_scores(n_functions=1)
    with pytest.raises(BadInput, match="compared on the same functions"):
        Specialization(sites=(one, replace(one, functions=(other,))))
