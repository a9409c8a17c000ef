import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import SwitchTransformersConfig
from transformers.models.switch_transformers.modeling_switch_transformers import (
    SwitchTransformersTop1Router,
)

from interp.modules.native.capacity import CapacityCounts, CapacityRule, count_capacity
from interp.modules.native.capacity_effect import COUNTS
from interp.modules.native.router import Order, Routing, kept_within, route
from interp.results.errors import BadInput

D_MODEL = 8


def random_routing(rows: int, n_experts: int, k: int, seed: int, *, skew: float = 1.0) -> Routing:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, D_MODEL, generator=generator)
    W = torch.randn(n_experts, D_MODEL, generator=generator)
    bias = -skew * torch.arange(n_experts)
    return route(x, W, bias, top_k=k, normalised=False)


def rule(**settings) -> CapacityRule:
    return CapacityRule(
        **{
            **{"factor": 1.0, "own": None, "rounding": "ceil", "order": "position"},
            **{"devices": 1, "group_sequences": 1},
            **settings,
        }
    )


def counted_by_hand(
    routing: Routing, valid: Tensor, devices: int, capacity: list[int], order: Order
) -> list[dict[str, int]]:
    """The definitions as loops over tokens, one group after another."""
    groups, tokens = valid.shape
    n_experts, k = routing.probabilities.shape[1], routing.chosen.shape[1]
    found = []
    for g in range(groups):
        real = [t for t in range(tokens) if valid[g, t]]
        row = {t: g * tokens + t for t in real}
        p = {t: routing.probabilities[row[t]].tolist() for t in real}
        chosen = {t: routing.chosen[row[t]].tolist() for t in real}
        asking = [(rank, t) for rank in range(k) for t in real]
        if order == "score":
            asking.sort(key=lambda a: -p[a[1]][chosen[a[1]][a[0]]])
        free = [capacity[g]] * n_experts
        serving, lost = defaultdict(set), defaultdict(int)
        for rank, t in asking:
            e = chosen[t][rank]
            if free[e]:
                free[e] -= 1
                serving[t].add(e)
            else:
                lost[t] += 1
        padded = sum(free)
        each = n_experts // devices
        local = set(range(g % devices * each, (g % devices + 1) * each))
        intra = sum(min(lost[t], len(local - serving[t])) for t in real)
        offers = []
        for t in real:
            options = sorted(local - set(chosen[t]), key=lambda e: -p[t][e])
            offers += [(p[t][e], e) for e in options[: lost[t]]]
        fill = []
        for t in real:
            options = sorted(set(range(n_experts)) - set(chosen[t]), key=lambda e: -p[t][e])
            fill += [(p[t][e], e, t) for e in options[:1]]
        left, in_slots = list(free), 0
        for _, e in sorted(offers, reverse=True):
            in_slots += left[e] > 0
            left[e] -= left[e] > 0
        left, filled, filled_unserved = list(free), 0, 0
        for _, e, t in sorted(fill, reverse=True):
            if left[e]:
                left[e] -= 1
                filled += 1
                filled_unserved += not serving[t]
        found.append(
            {
                "tokens": len(real),
                "assigned": k * len(real),
                "dropped": sum(lost.values()),
                "unserved": sum(not serving[t] for t in real),
                "slots": capacity[g] * n_experts,
                "padded": padded,
                "intra": intra,
                "intra_in_slots": in_slots,
                "filled": filled,
                "filled_unserved": filled_unserved,
            }
        )
    return found


@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 3),
    devices=st.sampled_from([1, 2, 3, 6]),
    factor=st.sampled_from([0.25, 0.5, 1.0, 1.25, 2.0, 6.0]),
    order=st.sampled_from(["position", "score"]),
)
def test_counts_are_those_of_loops_over_tokens(seed, k, devices, factor, order):
    groups, tokens = 4, 13
    routing = random_routing(groups * tokens, 6, k, seed)
    lengths = torch.tensor([13, 13, 5, 1])
    valid = torch.arange(tokens)[None, :] < lengths[:, None]
    given_rule = rule(factor=factor, order=order, devices=devices)
    counts = count_capacity(routing, valid, torch.arange(groups), given_rule)
    capacity = [math.ceil(round(factor * int(n) * k / 6, 9)) for n in lengths]
    for g, expected in enumerate(counted_by_hand(routing, valid, devices, capacity, order)):
        assert {name: int(value[g]) for name, value in counts._asdict().items()} == expected


@pytest.mark.parametrize("capacity", [1, 2, 5, 64])
@torch.no_grad()
def test_at_its_own_capacity_the_counterfactual_drops_what_switchs_router_drops(capacity: int):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        router = SwitchTransformersTop1Router(
            SwitchTransformersConfig(
                d_model=D_MODEL, num_experts=4, expert_capacity=capacity, router_bias=True
            )
        ).eval()
        x = torch.randn(6, 20, D_MODEL)
        router.classifier.bias.copy_(torch.tensor([2.0, 0.5, 0.0, -1.0]))
    dispatched, weight, _ = router(x)
    routing = route(
        x.flatten(0, 1),
        router.classifier.weight,
        router.classifier.bias,
        top_k=1,
        normalised=False,
    )
    torch.testing.assert_close(routing.weights, weight.flatten(0, 1))
    own = rule(factor=None, own=capacity)
    counts = count_capacity(routing, torch.ones(6, 20, dtype=torch.bool), torch.arange(6), own)
    by_model = 20 - dispatched.sum((1, 2))
    assert torch.equal(counts.dropped, by_model)
    assert torch.equal(counts.padded, 4 * capacity - dispatched.sum((1, 2)))
    # The same as a stated factor: capacity = factor * tokens / experts.
    stated = rule(factor=capacity * 4 / 20)
    again = count_capacity(routing, torch.ones(6, 20, dtype=torch.bool), torch.arange(6), stated)
    assert all(torch.equal(a, b) for a, b in zip(counts, again, strict=True))
    kept = kept_within(
        routing.chosen.unflatten(0, (6, 20)),
        routing.weights.unflatten(0, (6, 20)),
        torch.full((6, 4), capacity),
        wanted=torch.ones(6, 20, 1, dtype=torch.bool),
        order="position",
    )
    assert torch.equal(kept.squeeze(2), dispatched.sum(2).bool())


@given(seed=st.integers(0, 1000), k=st.integers(1, 3), factor=st.floats(0.1, 8))
def test_nothing_is_lost_between_slots_and_assignments(seed, k, factor):
    routing = random_routing(30, 6, k, seed)
    counts = count_capacity(
        routing, torch.ones(2, 15, dtype=torch.bool), torch.arange(2), rule(factor=factor)
    )
    assert torch.equal(counts.assigned - counts.dropped, counts.slots - counts.padded)
    for less, more in (
        (counts.intra_in_slots, counts.intra),
        (counts.intra, counts.dropped),
        (counts.filled, counts.padded),
        (counts.filled_unserved, counts.filled),
        (counts.unserved * k, counts.dropped),
    ):
        assert (less <= more).all()


def test_a_generous_factor_drops_nothing_and_one_device_recovers_all():
    routing = random_routing(40, 6, 2, 0)
    everyone = torch.ones(1, 40, dtype=torch.bool)
    generous = count_capacity(routing, everyone, torch.arange(1), rule(factor=6.0))
    assert (generous.dropped, generous.intra) == (0, 0)
    tight = count_capacity(routing, everyone, torch.arange(1), rule(factor=0.5))
    assert tight.dropped > 0
    assert tight.intra == tight.dropped


def test_equal_first_choices_overflow_by_position():
    """10 tokens that all want expert 0, capacity 5 of it: the last five go."""
    probabilities = torch.tensor([[0.7, 0.2, 0.1]]).repeat(10, 1)
    routing = Routing(probabilities, torch.zeros(10, 1, dtype=torch.long), probabilities[:, :1])
    own = rule(factor=None, own=5, devices=3)
    counts = count_capacity(routing, torch.ones(1, 10, dtype=torch.bool), torch.arange(1), own)
    assert [int(c) for c in counts] == [10, 10, 5, 5, 15, 10, 5, 0, 5, 5 - 5]
    # On device 1 the five find expert 1 and its five slots.
    there = count_capacity(routing, torch.ones(1, 10, dtype=torch.bool), torch.tensor([1]), own)
    assert (there.intra, there.intra_in_slots) == (5, 5)


def test_capacity_rounds_up_or_down_and_not_by_the_last_binary_digit():
    assert rule(factor=1.0).slots(10, top_k=1, n_experts=4) == 3
    assert rule(factor=1.0, rounding="floor").slots(10, top_k=1, n_experts=4) == 2
    assert 1.1 * 50 * 2 / 10 > 11
    assert rule(factor=1.1).slots(50, top_k=2, n_experts=10) == 11
    assert rule(factor=None, own=7).slots(50, top_k=2, n_experts=10) == 7


def test_the_noun_names_the_counts_that_the_tally_stacks():
    assert CapacityCounts._fields == COUNTS


def test_unusable_rules_are_refused():
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(BadInput, match="capacity factor"):
            rule(factor=bad)
    with pytest.raises(BadInput, match="no capacity of its own"):
        rule(factor=None)
    with pytest.raises(BadInput, match="6 experts cannot be dealt evenly to 4 devices"):
        rule(devices=4).check(6)
