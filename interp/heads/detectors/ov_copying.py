"""Copying by weights: whether the eigenvalues of a head's OV circuit are positive."""

import numpy as np
import torch

from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.weights.eigenvalues import eigenvalue_ratio, ov_eigenvalues, random_ratios
from interp.heads.weights.shared import circuits_of

N_RANDOM = 250
"""Random heads drawn; each counts with its negation, as likely."""


def _run(scoring: Scoring) -> HeadScores:
    circuits, g = circuits_of(scoring), scoring.geometry
    rng = scoring.rng("ov_copying/null")
    observed = np.empty((g.n_layers, g.n_heads, 1))
    pools: dict[bool, np.ndarray] = {}
    draws = np.empty((2 * N_RANDOM, *observed.shape))
    for layer in range(g.n_layers):
        trip = circuits.round_trip(layer)
        values = ov_eigenvalues(circuits.W_V(layer), circuits.W_O(layer), trip)
        observed[layer, :, 0] = eigenvalue_ratio(values).cpu().numpy()
        if (layer == 0) not in pools:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            drawn = random_ratios(trip, g.d_head, draws=N_RANDOM, generator=generator).numpy()
            pools[layer == 0] = np.concatenate([drawn, -drawn])
        pool = np.tile(pools[layer == 0][:, None], (1, g.n_heads))
        # Random heads are independent: each meets the same pool in an order of its own.
        draws[:, layer, :, 0] = rng.permuted(pool, axis=0)
    return concluded(
        DETECTOR,
        scoring,
        observed=observed,
        draws=draws,
        n_events=float(g.d_head),
        n_sequences=0.0,
        settings={"random_heads": 2 * N_RANDOM, "unembedding": "its mean over tokens removed"},
    )


DETECTOR = Detector(
    name="ov_copying",
    version=1,
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
    null="random W_V and W_O, whose norm does not matter, between the same embeddings",
    run=_run,
)
