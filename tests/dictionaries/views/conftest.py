"""A planted store, its dictionary, and the views of both, made once."""

from pathlib import Path

import pytest

from interp.capture.store import ActivationStore
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.run import view_features
from tests.dictionaries.views.planted import NEURONS, planted_dictionary, planted_store


@pytest.fixture(scope="package")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_store(tmp_path_factory.mktemp("views") / "store")


@pytest.fixture
def store(store_path):
    with ActivationStore.open(store_path) as opened:
        yield opened


@pytest.fixture(scope="package")
def views(store_path: Path) -> FeatureViews:
    return view_features(planted_dictionary(), store_path, neurons=NEURONS)
