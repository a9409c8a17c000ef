import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.moving.arithmetic import (
    AbilityTerm,
    LanguageTerm,
    ability_delta,
    merged_tensor,
)
from tests.abilities.checkpoints import bits

ZEROS = torch.tensor([0.0, -0.0, 1.5])
COEFFICIENTS = [1.0, -1.0, 0.3, -0.3]
values = st.lists(st.floats(-4, 4, width=32), min_size=6, max_size=6)


def column(numbers):
    return torch.tensor(numbers, dtype=torch.float32)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize("positions", [None, torch.tensor([0, 1, 2])])
def test_a_weight_of_zero_leaves_a_zero_of_either_sign_as_it_is(coefficient, positions):
    for delta in (torch.zeros(3), -torch.zeros(3)):
        term = AbilityTerm(coefficient, positions, delta)
        assert bits(merged_tensor(ZEROS, abilities=[term])) == bits(ZEROS)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_a_language_that_equals_the_base_leaves_a_zero_of_either_sign_as_it_is(coefficient):
    for language in (ZEROS, ZEROS.clone()):
        merged = merged_tensor(ZEROS, languages=[LanguageTerm(coefficient, language)])
        assert bits(merged) == bits(ZEROS)


def test_a_coefficient_of_zero_is_not_computed():
    spoilt = torch.tensor([float("inf"), float("nan"), -0.0])
    merged = merged_tensor(
        ZEROS,
        abilities=[AbilityTerm(0.0, None, spoilt)],
        languages=[LanguageTerm(0.0, spoilt)],
    )
    assert bits(merged) == bits(ZEROS)


@given(values, values, values, st.floats(-2, 2), st.floats(-2, 2))
def test_the_sum_is_that_of_a_double_loop(base, delta, language, gamma, eta):
    merged = merged_tensor(
        column(base).reshape(2, 3),
        abilities=[AbilityTerm(gamma, None, column(delta))],
        languages=[LanguageTerm(eta, column(language).reshape(2, 3))],
    )
    expected = [
        b + gamma * d + eta * (other - b) for b, d, other in zip(base, delta, language, strict=True)
    ]
    torch.testing.assert_close(
        merged.double().flatten(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5
    )


@given(values, values, values, st.floats(-2, 2), st.floats(-2, 2))
def test_the_ability_is_the_first_difference_less_the_second(base, ability, general, alpha, beta):
    delta = ability_delta(column(base), column(ability), column(general), alpha=alpha, beta=beta)
    expected = [
        alpha * (a - b) - beta * (g - b) for b, a, g in zip(base, ability, general, strict=True)
    ]
    torch.testing.assert_close(
        delta.double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5
    )


@given(values, values, st.integers(0, 6))
def test_a_tensor_cut_anywhere_has_the_same_bits(base, language, cut):
    def merged(part):
        terms = [LanguageTerm(0.3, column(language)[part])]
        delta = AbilityTerm(0.7, None, column(language)[part])
        return merged_tensor(column(base)[part], abilities=[delta], languages=terms)

    whole = merged(slice(None))
    assert bits(torch.cat([merged(slice(0, cut)), merged(slice(cut, 6))])) == bits(whole)


def test_arguments_are_not_edited():
    base, language, delta = torch.ones(3), torch.zeros(3), torch.full((3,), 2.0)
    merged_tensor(
        base,
        abilities=[AbilityTerm(0.5, None, delta)],
        languages=[LanguageTerm(0.5, language), LanguageTerm(-0.5, language)],
    )
    assert base.tolist() == [1, 1, 1]
    assert language.tolist() == [0, 0, 0]
    assert delta.tolist() == [2, 2, 2]
