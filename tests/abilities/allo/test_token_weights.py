import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.allo.token_weights import RULES, agreement, token_weights
from interp.results.errors import BadInput

P = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("unaligned", [1, 1, 0, 0, 0]),
        ("soft", [1.0, 0.8, 0.5, 0.1, 0.0]),
        ("released", [0.0, 0.2, 0.5, 0.9, 1.0]),
    ],
)
def test_every_rule_on_worked_values(rule, expected):
    assert torch.allclose(token_weights(P, rule=rule), torch.tensor(expected).float())


@pytest.mark.parametrize("rule", sorted(RULES))
@given(p=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8))
def test_weights_lie_between_0_and_1_and_see_no_neighbour(rule, p):
    given_p = torch.tensor(p)
    weights = token_weights(given_p, rule=rule)
    assert bool(((weights >= 0) & (weights <= 1)).all())
    alone = torch.cat([token_weights(x[None], rule=rule) for x in given_p])
    assert torch.equal(weights, alone)
    assert given_p.tolist() == torch.tensor(p).tolist()


def test_what_the_released_code_weighs_is_the_opposite_of_the_soft_rule():
    assert torch.allclose(
        token_weights(P, rule="released") + token_weights(P, rule="soft"), torch.ones(5)
    )


def test_an_unknown_rule_is_named_with_those_there_are():
    with pytest.raises(BadInput, match="'hard'.*unaligned, soft, released"):
        token_weights(P, rule="hard")


def test_agreement_is_worked_out_on_paper():
    found = agreement(np.array([1.0, 1.0, 0.0, 0.0]), np.array([True, False, True, False]))
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert (found.base_rate, found.weighted) == (0.5, 0.5)


def test_perfect_weights_have_precision_and_recall_of_one():
    wrong = np.array([True, False, False])
    found = agreement(wrong.astype(float), wrong)
    assert (found.precision, found.recall, found.base_rate) == (1, 1, pytest.approx(1 / 3))


def test_what_is_not_defined_is_nan_and_none_in_json():
    found = agreement(np.zeros(2), np.zeros(2, dtype=bool))
    assert np.isnan(found.precision) and np.isnan(found.recall)
    assert found.to_json()["precision"] is None
