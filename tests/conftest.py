"""Hypothesis without a clock or a random seed, and tiny models shared by a whole run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.models import tiny_model_directory

settings.register_profile("interp", deadline=None, derandomize=True)
settings.load_profile("interp")


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`model_directory(style)`: a tiny directory of that style, written once a run. Read only."""
    root = tmp_path_factory.mktemp("models")

    def directory(style: str) -> Path:
        path = root / style
        return path if path.exists() else tiny_model_directory(style, path)

    return directory
