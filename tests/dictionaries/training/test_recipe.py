import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["recipe", "facts"])
def test_reading_a_recipe_loads_no_torch(module: str) -> None:
    said = f"import interp.dictionaries.training.{module}, sys; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_the_rows_of_a_model_are_found_where_they_are_asked_for() -> None:
    from interp.dictionaries import training
    from interp.dictionaries.training.live import live_source

    assert training.live_source is live_source
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        training.trian  # noqa: B018
