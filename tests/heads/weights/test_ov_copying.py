"""p of the OV eigenvalue ratio: its tail, and one family of many heads."""

import numpy as np
import pytest
import torch

from interp.heads.detectors.ov_copying import N_RANDOM, is_heavy, of_independent, tail_p
from interp.heads.weights.eigenvalues import random_ratios

SPECTRA = {
    "equal": torch.ones(48),
    "decaying": 1 / torch.arange(1.0, 49.0),
    "of rank one, nearly": torch.tensor([10.0] + [0.1] * 47),
}


def ratios(spectrum: str, *, draws: int, seed: int, d_head: int = 8) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    trip = torch.diag(SPECTRA[spectrum])
    return random_ratios(trip, d_head, draws=draws, generator=generator).numpy()


@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_family_of_random_heads_has_a_finding_no_more_than_one_time_in_twenty(
    spectrum: str,
) -> None:
    n_heads, families = 144, 60
    found = 0
    for family in range(6):
        drawn = ratios(spectrum, draws=N_RANDOM, seed=family)
        pool = np.concatenate([drawn, -drawn])
        heads = ratios(spectrum, draws=n_heads * families // 6, seed=100 + family)
        p = tail_p(heads / pool.std(), pool).reshape(-1, n_heads)
        found += sum(of_independent(row).min() < 0.05 for row in p)
    assert found <= 8  # at most .05 of 60: beyond 8 by chance one time in 300


def test_a_head_far_out_is_significant_among_a_thousand() -> None:
    drawn = ratios("equal", draws=N_RANDOM, seed=0, d_head=32)
    pool = np.concatenate([drawn, -drawn])
    z = np.zeros(1024)
    z[3] = 0.5 / pool.std()
    assert of_independent(tail_p(z, pool))[3] < 1e-6


def test_heavy_tails_are_counted_and_not_extrapolated() -> None:
    pool = np.random.default_rng(0).standard_t(2, 500)
    assert is_heavy(pool)
    assert tail_p(np.array([100.0]), pool)[0] == pytest.approx(1 / 501)


def test_untested_heads_are_not_counted_in_the_family() -> None:
    adjusted = of_independent(np.array([0.01, np.nan, 0.2]))
    assert adjusted[0] == pytest.approx(1 - 0.99**2) and np.isnan(adjusted[1])
