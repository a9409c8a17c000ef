"""Scores made by hand, for tests that need a finding and no model."""

import numpy as np

from interp.neurons.functions import Function
from interp.neurons.scores import NeuronScores
from interp.results.provenance import Provenance


def a_function(name: str, *, group: str | None = None, n: int = 50) -> Function:
    return Function(
        name=name,
        group=group or name,
        n_positive=n,
        n_negative=n,
        balanced=True,
        n_left_out=0,
        rows_sha256="0" * 64,
    )


def some_scores(
    n_functions: int = 3,
    n_units: int = 10,
    *,
    seed: int = 0,
    site: str = "blocks.0.mlp.hook_post",
    names: tuple[str, ...] | None = None,
    baseline: bool = False,
) -> NeuronScores:
    rng = np.random.default_rng(seed)
    shape = (n_functions, n_units)
    positive = rng.uniform(0.4, 1.0, shape)
    score = np.maximum(positive, 1 - positive)
    names = names or tuple(f"f{i}" for i in range(n_functions))
    return NeuronScores(
        site=site,
        units="neurons",
        functions=tuple(a_function(name) for name in names),
        ap_positive=positive,
        ap_negative=1 - positive,
        score=score,
        sign=np.where(positive >= 0.5, 1, -1).astype(np.int8),
        p=rng.uniform(size=shape),
        q=rng.uniform(size=shape),
        smallest_p=np.full(shape, 1e-4),
        p_max_t=rng.uniform(size=shape),
        null_best=rng.uniform(0.5, 0.6, (n_functions, 20)),
        expected=np.full(n_functions, 0.52),
        dead=np.zeros(n_units, bool),
        measure="average precision",
        pooling="max",
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
        baseline={"random weights": rng.uniform(0.5, 0.7, shape)} if baseline else {},
        baseline_models={"random weights": "f" * 64} if baseline else {},
    )
