import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.modules.native.capacity import CapacityRule, count_capacity
from interp.modules.native.router import Routing
from interp.modules.native.tally import RoutingTally
from tests.modules.native.test_capacity import random_routing

ROWS, TOKENS, EXPERTS, K = 48, 8, 4, 2
RULE = CapacityRule(
    factor=1.0, own=None, rounding="ceil", order="position", devices=2, group_sequences=1
)


def tally_of(routings: list[Routing], sequences: list[int]) -> RoutingTally:
    """The tally of some of six sequences of eight tokens, two sequences a document."""
    tally = RoutingTally(len(routings), EXPERTS)
    for s in sequences:
        rows = slice(s * TOKENS, (s + 1) * TOKENS)
        part = [Routing(*(value[rows] for value in routing)) for routing in routings]
        keep = torch.arange(TOKENS) > 0
        document = torch.full((TOKENS,), s // 2)
        tally.update(part, keep, document, torch.arange(TOKENS) % 3 - 1)
        valid = torch.ones(1, TOKENS, dtype=torch.bool)
        counts = [count_capacity(r, valid, torch.tensor([s]), RULE) for r in part]
        tally.update_capacity(torch.tensor([s]), counts)
    return tally


@settings(max_examples=20)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5), seed=st.integers(0, 9))
def test_merging_in_any_order_gives_the_same_table(order: list[int], cut: int, seed: int):
    routings = [random_routing(ROWS, EXPERTS, K, seed + layer) for layer in range(2)]
    whole = tally_of(routings, list(range(6))).finish()
    first, second = tally_of(routings, order[:cut]), tally_of(routings, order[cut:])
    second.merge(first)
    for name, value in second.finish()._asdict().items():
        expected = getattr(whole, name)
        if np.issubdtype(expected.dtype, np.integer):
            np.testing.assert_array_equal(value, expected, err_msg=name)
        np.testing.assert_allclose(value, expected, atol=1e-9, err_msg=name)


def test_a_table_holds_what_loops_over_tokens_count():
    routing = random_routing(ROWS, EXPERTS, K, 0)
    table = tally_of([routing], list(range(6))).finish()
    chosen, together = np.zeros((3, 3, EXPERTS), int), np.zeros((EXPERTS, EXPERTS), int)
    entropy = np.zeros((3, 3))
    for row in range(ROWS):
        if row % TOKENS == 0:
            continue
        document, function = row // (2 * TOKENS), row % TOKENS % 3
        experts, p = routing.chosen[row].tolist(), routing.probabilities[row].double().numpy()
        chosen[document, function, experts] += 1
        entropy[document, function] -= (p * np.log2(p)).sum()
        for a in experts:
            for b in experts:
                together[a, b] += 1
    assert table.document.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table.function.tolist() == [-1, 0, 1] * 3
    np.testing.assert_array_equal(table.chosen[:, 0], chosen.reshape(9, EXPERTS))
    np.testing.assert_array_equal(table.together[0], together)
    np.testing.assert_allclose(table.entropy[:, 0], entropy.reshape(9))
    assert table.n_tokens.sum() == 42
