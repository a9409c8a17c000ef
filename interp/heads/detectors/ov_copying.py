"""Copying by weights: whether the eigenvalues of a head's OV circuit are positive."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats

from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import false_discovery
from interp.heads.weights.eigenvalues import eigenvalue_ratio, ov_eigenvalues, random_ratios
from interp.heads.weights.shared import circuits_of

N_RANDOM = 250
"""Random heads drawn; each counts with its negation, as likely."""
HEAVY = 3 + 2 * np.sqrt(24 / N_RANDOM)
"""Kurtosis two standard errors above a normal distribution's: its tail cannot then stand in."""


def _run(scoring: Scoring) -> HeadScores:
    circuits, g = circuits_of(scoring), scoring.geometry
    rng = scoring.rng("ov_copying/null")
    observed = np.empty((g.n_layers, g.n_heads, 1))
    pools: dict[bool, Float[np.ndarray, " heads"]] = {}
    for layer in range(g.n_layers):
        trip = circuits.round_trip(layer)
        values = ov_eigenvalues(circuits.W_V(layer), circuits.W_O(layer), trip)
        observed[layer, :, 0] = eigenvalue_ratio(values).cpu().numpy()
        if (layer == 0) not in pools:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            drawn = random_ratios(trip, g.d_head, draws=N_RANDOM, generator=generator).numpy()
            pools[layer == 0] = np.concatenate([drawn, -drawn])
    pool = np.stack([pools[layer == 0] for layer in range(g.n_layers)], axis=1)
    draws = np.broadcast_to(pool[:, :, None, None], (2 * N_RANDOM, *observed.shape))
    found = concluded(
        DETECTOR,
        scoring,
        observed=observed,
        draws=draws,
        n_events=float(g.d_head),
        n_sequences=0.0,
        notes={"ov_copying": _tails(pools)},
        settings={"random_heads": 2 * N_RANDOM, "unembedding": "its mean over tokens removed"},
    )
    z = observed / found.null_sd
    p = np.stack([tail_p(z[layer], pools[layer == 0]) for layer in range(g.n_layers)])
    return replace(found, z=z, p=p, p_adj=of_independent(p), q=false_discovery(p))


def tail_p(
    z: Float[np.ndarray, "*heads"], pool: Float[np.ndarray, " draws"]
) -> Float[np.ndarray, "*heads"]:
    """One-sided p of a ratio of `z` standard deviations, by the tail of Student's t.

    The ratio is a sum of as many terms of either sign over the sum of their sizes, so its tails are
    at most normal (Hoeffding's bound); few large eigenvalues make them lighter and p too large. t
    rather than normal for the deviation's own error. A pool with heavier tails, which the argument
    excludes, is counted instead: p is then at least 1 / (1 + draws).
    """
    if is_heavy(pool):
        above = (pool / pool.std() >= z[..., None] - 1e-9).sum(axis=-1)
        return np.where(np.isnan(z), np.nan, (1 + above) / (1 + len(pool)))
    return stats.t.sf(z, df=len(pool) // 2)


def is_heavy(pool: Float[np.ndarray, " draws"]) -> bool:
    """Whether the ratios of random heads have heavier tails than a normal distribution."""
    return bool((pool**4).mean() > HEAVY * (pool**2).mean() ** 2)


def of_independent(p: Float[np.ndarray, "*heads"]) -> Float[np.ndarray, "*heads"]:
    """Family-wise p of heads that are independent by chance: 1 - (1 - p)^H (Sidak 1967)."""
    return -np.expm1((~np.isnan(p)).sum() * np.log1p(-np.minimum(p, 1 - 1e-12)))


def _tails(pools: dict[bool, Float[np.ndarray, " heads"]]) -> dict[str, str]:
    if not any(is_heavy(pool) for pool in pools.values()):
        return {}
    return {
        "smallest_p": f"random heads vary more than a normal distribution: p is counted among "
        f"{2 * N_RANDOM} of them, and no p_adj is small in a model of many heads"
    }


DETECTOR = Detector(
    name="ov_copying",
    version=2,
    definition=(
        "sum of the eigenvalues of the head's circuit from tokens to logits over the sum of their "
        "sizes: 1 raises every direction of tokens by itself, -1 lowers it"
    ),
    source="Elhage et al. 2021, A Mathematical Framework for Transformer Circuits, eigenvalues",
    unit="ratio",
    needs=frozenset({"weights"}),
    inputs="none",
    low=-1.0,
    high=1.0,
    chance="0: a random matrix has as many eigenvalues on either side",
    null=(
        "random W_V and W_O, whose norm does not matter, between the same embeddings; z in their "
        "standard deviation, p by Student's t, p adj = 1 - (1 - p)^heads, independent by chance"
    ),
    run=_run,
)
