"""One planted store for all tests of training; read only."""

import pytest

from interp.capture.store import ActivationStore
from tests.dictionaries.training.planted import planted_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """3,000 rows of two sites."""
    return planted_store(tmp_path_factory.mktemp("planted") / "store")
