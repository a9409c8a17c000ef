"""Known features in superposition: the data keep their promises, and recovery counts rightly."""

import numpy as np
import pytest
import torch
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.synthetic import compute_classification_metrics, mean_correlation_coefficient
from torch import Tensor

from interp.dictionaries.architectures import make
from interp.dictionaries.synthetic import (
    UNSEEN,
    Superposition,
    detection,
    own_rows,
    recovery,
    zipf_probabilities,
)
from interp.results.errors import BadInput, Mismatch

N, D = 24, 16
TRUTH = Superposition(
    n_features=N, d_in=D, mean_active=2.0, group_size=4, group_correlation=0.6, seed=3
)


def dictionary(rows: Tensor) -> StandardSAE:
    """A dictionary whose decoder and encoder hold these rows."""
    sae = StandardSAE(StandardSAEConfig(d_in=rows.shape[1], d_sae=len(rows)))
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
    return sae


def at_angle(rows: Tensor, cosine: float) -> Tensor:
    """Every row turned away from itself to this cosine."""
    aside = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    aside = aside - (aside * rows).sum(1, keepdim=True) * rows
    aside = aside / aside.norm(dim=1, keepdim=True)
    return cosine * rows + (1 - cosine**2) ** 0.5 * aside


def test_the_same_batch_comes_whenever_it_is_asked_for() -> None:
    batches = TRUTH.batches(8, stream=1)
    first = [next(batches) for _ in range(3)]
    assert batches.position == 3
    again = next(TRUTH.batches(8, stream=1, start=2))
    assert torch.equal(first[2], again)
    assert not torch.equal(first[1], again)
    assert not torch.equal(next(TRUTH.batches(8, stream=2)), first[0])


def test_drawing_leaves_the_global_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    Superposition(n_features=8, d_in=4, mean_active=1.0, group_size=2, seed=1).rows(4, stream=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_rows_are_the_sum_of_their_active_features() -> None:
    rows = TRUTH.rows(50, stream=0)
    by_hand = torch.zeros(50, D)
    for row, activations in enumerate(rows.activations):
        for a, feature in zip(activations, TRUTH.features, strict=True):
            by_hand[row] += a * feature
    torch.testing.assert_close(rows.x, by_hand)


def test_features_are_active_as_often_as_promised_and_together_within_groups() -> None:
    active = (TRUTH.rows(40_000, stream=0).activations > 0).double()
    often, promised = active.mean(0), TRUTH.probability.double()
    assert torch.allclose(often, promised, atol=0.015)
    assert promised.sum().item() == pytest.approx(2.0, abs=1e-5)
    correlation = torch.corrcoef(active.T)
    same = (TRUTH.group[:, None] == TRUTH.group[None]) & ~torch.eye(N, dtype=torch.bool)
    other = TRUTH.group[:, None] != TRUTH.group[None]
    assert correlation[same].min() > 0.05 > correlation[other].abs().max()


@pytest.mark.parametrize("mean_active", [0.5, 8.0, 16.0])
def test_frequencies_follow_zipf_below_the_cap(mean_active: float) -> None:
    p = zipf_probabilities(512, mean_active=mean_active, exponent=1.0, cap=0.3).double()
    assert p.sum().item() == pytest.approx(mean_active, rel=1e-5)
    below = np.flatnonzero(p.numpy() < 0.3 - 1e-6) + 1
    products = p.numpy()[below - 1] * below
    assert products.max() == pytest.approx(products.min(), rel=1e-5)
    assert p.max() <= 0.3 + 1e-7


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"mean_active": 200.0}, "200.0 of 512"),
        ({"group_size": 7}, "groups of 7 among 512"),
        ({"group_correlation": 1.0}, "correlation 1.0"),
    ],
)
def test_numbers_that_do_not_go_together_are_named(settings: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        Superposition(**settings)  # type: ignore[arg-type]


def test_the_truth_itself_is_recovered_whole_and_a_random_dictionary_is_not() -> None:
    found = recovery(dictionary(TRUTH.features.flip(0) * 3), TRUTH)
    assert found.best_match.value == found.one_to_one.value == 1
    assert found.mmcs.value == pytest.approx(1, abs=1e-6)
    assert found.null_best_match < 0.2
    assert found.null_mmcs < 0.7
    assert {half: part.n_features for half, part in found.by_frequency.items()} == {
        "rare": 12,
        "frequent": 12,
    }


def test_neither_a_null_nor_a_start_with_the_seed_of_the_data_is_the_truth() -> None:
    truth = Superposition(n_features=64, d_in=128, mean_active=1.0, seed=0)
    start = make("standard", d_in=128, d_sae=64, seed=0)
    found = recovery(start, truth, null_seed=0)
    assert found.mmcs.value < 0.4
    assert found.null_mmcs < 0.4


@pytest.mark.parametrize(("cosine", "share"), [(0.91, 1.0), (0.89, 0.0)])
def test_a_feature_counts_from_the_threshold_on(cosine: float, share: float) -> None:
    far = Superposition(n_features=4, d_in=256, mean_active=1.0, group_size=2)
    found = recovery(dictionary(at_angle(far.features, cosine)), far)
    assert found.best_match.value == found.one_to_one.value == share
    assert found.mmcs.value == pytest.approx(cosine, abs=1e-4)


def test_the_opposite_direction_is_not_the_feature() -> None:
    assert recovery(dictionary(-TRUTH.features), TRUTH).best_match.value == 0


def test_one_row_cannot_be_the_own_row_of_two_features() -> None:
    rare_lost = TRUTH.features[: N // 2]
    found = recovery(dictionary(rare_lost), TRUTH)
    assert found.one_to_one.value == 0.5
    assert np.isnan(found.matched).sum() == N // 2
    assert found.by_frequency["frequent"].one_to_one.value == 1
    assert found.by_frequency["rare"].one_to_one.value == 0
    double = recovery(dictionary(rare_lost.repeat(2, 1)), TRUTH)
    assert double.best_match.value == 0.5


def test_assigned_cosines_are_those_of_sae_lens() -> None:
    rows = at_angle(TRUTH.features, 0.95)
    theirs = mean_correlation_coefficient(TRUTH.features, rows)
    assert own_rows(TRUTH, rows).cosine.mean() == pytest.approx(theirs, abs=1e-6)


def test_a_dictionary_of_another_width_is_refused() -> None:
    with pytest.raises(Mismatch, match=f"writes 5 dimensions .* lie in {D}"):
        recovery(dictionary(torch.eye(5)), TRUTH)


def test_detection_is_what_sae_lens_calculates() -> None:
    sae = dictionary(at_angle(TRUTH.features, 0.97))
    with torch.no_grad():
        sae.b_enc.fill_(-0.4)
    found = detection(sae, TRUTH, n_rows=3000)
    rows = TRUTH.rows(3000, stream=UNSEEN)
    theirs = compute_classification_metrics(
        sae.encode(rows.x), rows.activations, sae.W_dec, TRUTH.features
    )
    assert found.precision.mean() == pytest.approx(theirs.precision, abs=1e-5)
    assert found.recall.mean() == pytest.approx(theirs.recall, abs=1e-5)
    assert found.f1.mean() == pytest.approx(theirs.f1_score, abs=1e-5)
    assert (found.f1 > found.null_f1).all()


def test_a_latent_that_always_fires_has_the_f1_of_chance() -> None:
    sae = dictionary(TRUTH.features)
    with torch.no_grad():
        sae.b_enc.fill_(100.0)
    found = detection(sae, TRUTH, n_rows=2000)
    assert found.recall == pytest.approx(1.0)
    assert found.f1 == pytest.approx(found.null_f1)


def test_features_without_a_latent_detect_nothing() -> None:
    found = detection(dictionary(TRUTH.features[:10]), TRUTH, n_rows=2000)
    assert np.isnan(found.recall).sum() == N - 10
    assert (found.f1 == 0).sum() >= N - 10
