"""Figures of evaluations draw what the findings hold, the smallest and an empty one too."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from interp.dictionaries.evaluation.evaluation import ContestantRow, DictionaryEvaluation
from interp.plots.dictionaries import density_histogram, frontier, neighbour_histogram
from interp.results.provenance import Provenance
from tests.plots.hostile import HOSTILE

NOTHING = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})
MEASURES = ("explained_variance", "l0", "dead_density_bound", "loss_recovered")


def evaluation(l0: float, variance: float, fired: list[int]) -> DictionaryEvaluation:
    value = np.array([[variance, l0, 0.004, variance], [0.5, l0, np.nan, 0.4]])
    features = len(fired)
    return DictionaryEvaluation(
        dictionary={},
        contestants=(
            ContestantRow(key="dictionary", title="dictionary", note=""),
            ContestantRow(key="pca", title="PCA", note=""),
        ),
        measures=MEASURES,
        value=value,
        low=value - 0.1,
        high=value + 0.2,
        n=np.full(value.shape, 1000),
        n_rows=1000,
        n_sequences=10,
        fired=np.array(fired, np.int64),
        l0_quantiles=np.full(7, float(l0)),
        nearest=np.linspace(0.1, 0.9, features, dtype=np.float32),
        nearest_null=np.full(features, 0.3, np.float32),
        encoder_decoder=np.ones(features, np.float32),
        shared=(),
        statements=(),
        provenance=NOTHING,
    )


def traces(figure: go.Figure) -> Any:
    return figure.data


def test_every_living_feature_is_in_the_histogram_and_the_dead_are_in_its_title() -> None:
    figure = density_histogram(evaluation(4, 0.9, [0, 0, 1, 10, 999, 1000]))
    assert sum(traces(figure)[0].y) == 4
    layout: Any = figure.layout
    assert layout.title.text.startswith("2 of 6 features")
    # One row of a thousand is in the lowest bin, all of them in the highest.
    assert traces(figure)[0].y[0] == 1
    assert traces(figure)[0].y[-1] == 2


def test_the_frontier_draws_a_point_an_evaluation_by_rising_l0_with_intervals() -> None:
    figure = frontier({"wide": evaluation(9, 0.95, [1]), "narrow": evaluation(3, 0.7, [1])})
    own = traces(figure)[0]
    assert own.name == "dictionary"
    assert list(own.x) == [3, 9]
    assert list(own.y) == [0.7, 0.95]
    assert list(own.text) == ["narrow", "wide"]
    np.testing.assert_allclose(own.error_y.array, 0.2)
    np.testing.assert_allclose(own.error_y.arrayminus, 0.1)
    assert {trace.name for trace in traces(figure)} == {"dictionary", "pca"}


def test_both_neighbour_distributions_sum_to_one() -> None:
    figure = neighbour_histogram(evaluation(4, 0.9, [1] * 40))
    assert [sum(trace.y) for trace in traces(figure)] == pytest.approx([1, 1])


def test_the_smallest_and_an_all_nan_finding_are_drawn() -> None:
    one = evaluation(1, 0.5, [0])
    empty = replace(
        one,
        value=one.value * np.nan,
        low=one.low * np.nan,
        high=one.high * np.nan,
        nearest=one.nearest * np.float32(np.nan),
    )
    for found in (one, empty):
        for figure in (
            density_histogram(found),
            neighbour_histogram(found),
            frontier({"x": found}),
        ):
            assert figure.to_json()
    assert frontier({}).to_json()


def test_names_are_text_in_a_label() -> None:
    for text in HOSTILE:
        shown = frontier({text: evaluation(1, 0.5, [1])}).to_plotly_json()
        assert "<script" not in str(shown)
        assert "<img" not in str(shown)
