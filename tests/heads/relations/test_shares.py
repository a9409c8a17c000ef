import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.relations.shares import (
    probabilities,
    raise_over_others,
    raised_shares,
    undefined,
)


def _drawn(seed: int, n: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, n, generator=generator, dtype=torch.float64)
    mask = torch.rand(50, n, generator=generator) < 0.7
    mask[:, :2] = True
    return logits, mask


def test_four_probabilities_give_the_shares_worked_out_by_hand() -> None:
    p = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    shares = raised_shares(p, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(shares, torch.tensor([[0.75, 0.25, 0.0, 0.0]]))
    assert shares.mean() == pytest.approx(1 / 4)


@given(st.integers(0, 1000))
def test_shares_sum_to_one_and_a_uniform_tail_gets_one_over_n(seed: int) -> None:
    logits, mask = _drawn(seed)
    for values in (logits, probabilities(logits, mask)):
        shares = raised_shares(values, mask)
        np.testing.assert_allclose(shares.sum(dim=1), 1.0)
        assert (shares[~mask] == 0).all()
        means = shares.sum(dim=1) / mask.sum(dim=1)
        np.testing.assert_allclose(means, 1.0 / mask.sum(dim=1))


def test_shares_of_logits_do_not_change_under_scale_and_shift_and_turn_round_under_minus() -> None:
    logits, mask = _drawn(0)
    shares = raised_shares(logits, mask)
    np.testing.assert_allclose(raised_shares(7.5 * logits - 3, mask), shares)
    lowered = raised_shares(-logits, mask)
    assert ((shares > 0) & (lowered > 0)).sum() == 0


def test_restricting_the_softmax_to_the_candidates_changes_no_share() -> None:
    logits, _ = _drawn(1)
    mask = torch.zeros_like(logits, dtype=torch.bool)
    mask[:, ::2] = True
    over_all = torch.softmax(logits, dim=1)
    np.testing.assert_allclose(
        raised_shares(probabilities(logits, mask), mask), raised_shares(over_all, mask)
    )


def test_what_lies_outside_the_candidates_does_not_matter() -> None:
    logits, mask = _drawn(2)
    other = torch.where(mask, logits, 1e9)
    for function in (raised_shares, undefined):
        np.testing.assert_allclose(function(other, mask), function(logits, mask))
    tail = torch.zeros(50, dtype=torch.long)
    np.testing.assert_allclose(
        raise_over_others(other, mask, tail), raise_over_others(logits, mask, tail)
    )


def test_a_head_that_writes_rounding_noise_is_undefined_and_not_one_over_n() -> None:
    noise = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * 1e-8
    mask = torch.ones(5, 7, dtype=torch.bool)
    assert undefined(noise, mask).all()
    assert undefined(noise + 40.0, mask).all()
    assert not undefined(noise * 1e8, mask).any()
    one = torch.zeros(5, 7, dtype=torch.bool)
    one[:, 3] = True
    assert undefined(noise * 1e8, one).all()


def test_random_logits_give_a_fixed_token_one_over_n_on_average() -> None:
    logits = torch.randn(3000, 7, generator=torch.Generator().manual_seed(0))
    shares = raised_shares(logits, torch.ones(3000, 7, dtype=torch.bool))[:, 2]
    assert shares.mean() == pytest.approx(1 / 7, abs=4 * float(shares.std()) / 3000**0.5)


def test_the_raise_is_the_tails_logit_over_the_mean_of_the_others() -> None:
    logits = torch.tensor([[1.0, 5.0, 3.0, 100.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert raise_over_others(logits, mask, torch.tensor([1])).item() == pytest.approx(3.0)
