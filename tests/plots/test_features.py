"""Pictures of features: whole, of a silent feature, and of hostile tokens."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from interp.dictionaries.views.feature_view import Partner
from interp.dictionaries.views.run import view_features
from interp.plots.features import (
    activation_histogram,
    density_scatter,
    feature_contexts,
    logit_bars,
)
from tests.dictionaries.views.planted import SILENT, planted_dictionary, planted_store
from tests.plots.hostile import HOSTILE


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    path = planted_store(tmp_path_factory.mktemp("views") / "store", n=800)
    return view_features(planted_dictionary(), path)


def _with_logits(view, names):
    tokens = tuple(Partner(index=i, name=name, strength=1.0) for i, name in enumerate(names))
    return replace(view, promoted=tokens, suppressed=(), logit_null=0.5)


def test_the_histogram_holds_every_firing(views):
    view = views.feature(2)
    figure = activation_histogram(view)
    bars: Any = figure.data[0]
    assert sum(bars.y) == view.n_active > 0
    assert f"{view.n_rows - view.n_active:,}" in figure.layout.yaxis.title.text


@pytest.mark.parametrize("feature", [2, SILENT])
def test_every_picture_is_drawn_also_of_a_feature_that_never_fires(views, feature):
    view = views.feature(feature)
    activation_histogram(view).to_json()
    logit_bars(view).to_json()
    html = feature_contexts(view)
    assert ("never fires" in html) == (feature == SILENT)


def test_the_scatter_shows_every_feature_that_fires(views):
    figure = density_scatter(views)
    fires = np.flatnonzero(views.activity.n_active)
    points: Any = figure.data[0]
    np.testing.assert_array_equal(points.customdata, fires)
    assert "1 never fire" in figure.layout.xaxis.title.text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_token_becomes_markup(views, text):
    view = views.feature(2)
    context = replace(
        view.strongest[0], token_ids=(2,), tokens=(text,), along=np.ones(1, np.float32), marked=0
    )
    html = feature_contexts(replace(view, strongest=(context,), sampled=()))
    assert "<script" not in html and "<img" not in html and "<svg" not in html
    label = logit_bars(_with_logits(view, [text])).layout.yaxis.ticktext[0]
    assert "<" not in label
