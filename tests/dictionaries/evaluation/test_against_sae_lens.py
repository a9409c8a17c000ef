"""The same numbers as sae-lens's own evaluation where both define the same thing."""

from typing import Any

import numpy as np
import pytest
import torch
from sae_lens.evals import get_eval_everything_config, run_evals
from sae_lens.training.activation_scaler import ActivationScaler

from interp.dictionaries.evaluation.contestants import of_dictionary
from interp.dictionaries.evaluation.measuring import measure_rows
from interp.dictionaries.evaluation.reconstruction import reconstruction_measures
from interp.dictionaries.evaluation.rows import RowReader
from interp.dictionaries.evaluation.splicing import Sites, spliced_losses, splicing_measures
from interp.results.sequence_sums import bootstrap
from tests.dictionaries.evaluation.conftest import LENGTH, SITE

N = 60
"""All of the corpus in one batch: sae-lens averages some ratios over batches."""


class Tokens:
    """What sae-lens asks of an activations store when it evaluates: batches of tokens."""

    store_batch_size_prompts = N
    context_size = LENGTH

    def __init__(self, corpus) -> None:
        self._tokens = torch.from_numpy(next(corpus.batches(N)).tokens)

    def get_batch_tokens(self, batch_size: int) -> torch.Tensor:
        assert batch_size == N
        return self._tokens

    def reset_input_dataset(self) -> None:
        pass


@pytest.fixture(scope="module")
def theirs(bridge, corpus, sae) -> tuple[dict[str, float], dict[str, Any]]:
    groups, features = run_evals(
        sae,
        Tokens(corpus),  # pyright: ignore[reportArgumentType]
        bridge,
        ActivationScaler(),
        get_eval_everything_config(N, 1, 1),
        exclude_special_tokens=False,
    )
    return {key: value for group in groups.values() for key, value in group.items()}, features


@pytest.fixture(scope="module")
def rows(store, sae):
    reader = RowReader(
        store=store, site=SITE, site_out=SITE, specials=True, device=torch.device("cpu")
    )
    contestant = of_dictionary(sae)
    spans = [(0, store.n_rows)]
    return measure_rows(reader, spans, [contestant], d_sae=sae.cfg.d_sae, batch_size=50)


@pytest.mark.parametrize(
    "measure",
    ["explained_variance", "mse", "l0", "l1", "l2_ratio", "relative_reconstruction_bias"],
)
def test_reconstruction_is_as_sae_lens_has_it(theirs, rows, measure: str) -> None:
    sums = rows.sums["dictionary"].finish()
    ours = bootstrap(sums, reconstruction_measures, rng=np.random.default_rng(0))[measure]
    assert ours.value == pytest.approx(theirs[0][measure], rel=1e-4)
    assert ours.low < ours.value < ours.high


def test_cosine_is_as_sae_lens_has_it(theirs, rows) -> None:
    sums = rows.sums["dictionary"].finish()
    ours = bootstrap(sums, reconstruction_measures, rng=np.random.default_rng(0))["cosine"]
    assert ours.value == pytest.approx(theirs[0]["cossim"], rel=1e-4)


def test_density_of_every_feature_is_as_sae_lens_has_it(theirs, rows) -> None:
    ours = rows.counts.fired / rows.counts.n_rows
    np.testing.assert_allclose(ours, theirs[1]["feature_density"], atol=1e-6)
    assert 0 < ours.mean() < 0.9


def test_losses_are_as_sae_lens_has_them(theirs, bridge, corpus, sae, rows) -> None:
    sums = spliced_losses(
        bridge,
        corpus,
        [of_dictionary(sae)],
        Sites(SITE, SITE),
        rows.centre.float(),
        n_tokens=10_000,
        specials=True,
        predicted="all",
        device=torch.device("cpu"),
    )["dictionary"]
    ours = bootstrap(sums.finish(), splicing_measures, rng=np.random.default_rng(0))
    for measure, name in {
        "ce_clean": "ce_loss_without_sae",
        "ce_spliced": "ce_loss_with_sae",
        "ce_zero": "ce_loss_with_ablation",
    }.items():
        assert ours[measure].value == pytest.approx(theirs[0][name], rel=1e-4)
    # sae-lens's KL is over all positions, the last one included; ours where a token is predicted.
    batch = torch.from_numpy(next(corpus.batches(N)).tokens)
    with torch.no_grad():
        clean = bridge(batch).log_softmax(-1)
        hooks = [(SITE, lambda value, hook: sae(value))]
        spliced = bridge.run_with_hooks(batch, fwd_hooks=hooks).log_softmax(-1)
    kl = (clean.exp() * (clean - spliced)).sum(-1)
    assert float(kl.mean()) == pytest.approx(theirs[0]["kl_div_with_sae"], rel=1e-3)
    assert float(kl[:, :-1].mean()) == pytest.approx(ours["kl_spliced"].value, rel=1e-3)
    gap = ours["ce_zero"].value - ours["ce_clean"].value
    if gap > 0:
        score = theirs[0]["ce_loss_score"]
        assert ours["loss_recovered"].value == pytest.approx(score, abs=1e-3)
    else:
        assert np.isnan(ours["loss_recovered"].value)
