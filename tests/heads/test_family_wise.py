"""Random models have a finding in few of their families, whatever the detector.

Twelve models of two layers: a family-wise p that holds gives more than three families below .05
two times in a thousand. The detectors of places in attention are left out: the trace of a random
QK matrix is a small but lasting taste for copies or for a distance, which their nulls say counts.
"""

from pathlib import Path

import numpy as np
import pytest

from interp.heads.score import score_heads
from tests.heads.making import tiny_bridge
from tests.models import D_VOCAB

MODELS, SEQUENCES, LENGTH = 12, 24, 24
DETECTORS = ("copying", "anti_induction", "induction", "copy_suppression_text", "ov_copying")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """The smallest p_adj of each model, by column."""
    found: dict[str, list[float]] = {}
    frequency = 1 / np.arange(1, D_VOCAB - 3)
    for seed in range(MODELS):
        directory: Path = tmp_path_factory.mktemp("random")
        rng = np.random.default_rng(seed)
        text = 4 + rng.choice(D_VOCAB - 4, (SEQUENCES, LENGTH), p=frequency / frequency.sum())
        np.save(directory / "text.npy", text.astype(np.int64))
        scores = score_heads(
            tiny_bridge("gpt2", directory, seed=100 + seed, n_layer=2),
            [*DETECTORS],
            text=str(directory / "text.npy"),
            sequences=SEQUENCES,
            length=LENGTH,
            draws=499,
            bootstrap=2,
        )
        for name in scores.names:
            p = scores.array("p_adj", name)
            found.setdefault(name, []).append(float(np.nanmin(p, initial=1.0)))
    return found


@pytest.mark.parametrize("detector", DETECTORS)
def test_few_random_models_have_a_finding(detector: str, smallest: dict[str, list[float]]) -> None:
    assert len(smallest[detector]) == MODELS
    assert sum(p < 0.05 for p in smallest[detector]) <= 3
