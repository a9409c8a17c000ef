"""A rate sampled until success: unbiased, covered, and never 0 alone."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from interp.evaluation.items import Item
from interp.evaluation.sampling import answer_attempts
from interp.evaluation.success_rate import SuccessRate, item_success_rates, until_successes
from interp.models.load import load
from interp.results.errors import BadInput


def outcomes(wanted: int, budget: int, p: float) -> list[tuple[SuccessRate, float]]:
    """Every place where sampling can stop, with its probability."""
    reached = [
        (wanted, n, math.comb(n - 1, wanted - 1) * p**wanted * (1 - p) ** (n - wanted))
        for n in range(wanted, budget + 1)
    ]
    spent = [(s, budget, float(stats.binom.pmf(s, budget, p))) for s in range(wanted)]
    return [
        (SuccessRate(successes=s, attempts=n, wanted=wanted, budget=budget), weight)
        for s, n, weight in reached + spent
    ]


@pytest.mark.parametrize(("wanted", "budget"), [(2, 2), (2, 9), (3, 30), (5, 12)])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.37, 0.8, 0.99])
def test_over_all_outcomes_the_estimate_is_unbiased_and_the_interval_covers(
    wanted: int, budget: int, p: float
) -> None:
    found = outcomes(wanted, budget, p)
    assert sum(weight for _, weight in found) == pytest.approx(1)
    mean = sum(weight * rate.estimate for rate, weight in found if rate.successes)
    assert mean == pytest.approx(p, rel=1e-9)
    covered = sum(w for rate, w in found if rate.interval.low <= p <= rate.interval.high)
    assert covered >= 0.95 - 1e-12
    assert sum(weight for rate, weight in found if p <= rate.bound) >= 0.95 - 1e-12


def test_no_success_gives_a_bound_and_no_estimate() -> None:
    found = until_successes(lambda n: np.zeros(n, dtype=bool), wanted=3, budget=300)
    assert math.isnan(found.estimate)
    assert found.bound == pytest.approx(1 - 0.05 ** (1 / 300))
    assert str(found) == "below 0.0099, 0 of 300 attempts"
    assert found.to_json()["estimate"] is None


@pytest.mark.parametrize(
    ("successes", "attempts"), [(0, 200), (1, 200), (2, 200), (3, 3), (3, 50), (3, 200)]
)
def test_the_bound_leaves_five_in_a_hundred_with_and_without_a_success(
    successes: int, attempts: int
) -> None:
    found = SuccessRate(successes=successes, attempts=attempts, wanted=3, budget=200)
    if successes == attempts:
        assert found.bound == 1
        return
    # As late or later: 3 successes at an attempt means at most 2 before it.
    before, fewer = (attempts - 1, 2) if successes == 3 else (attempts, successes)
    assert stats.binom.cdf(fewer, before, found.bound) == pytest.approx(0.05)
    assert found.bound < found.interval.high


def test_a_rate_of_one_in_ten_thousand_is_seen() -> None:
    rng = np.random.default_rng(0)
    found = until_successes(lambda n: rng.random(n) < 1e-4, wanted=20, budget=10**6, batch=10_000)
    assert found.reached
    assert found.interval.low < 1e-4 < found.interval.high
    assert found.interval.high / found.interval.low < 3


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_batch_size_does_not_change_where_it_stops(batch: int) -> None:
    stream = np.random.default_rng(3).random(5000) < 0.01
    place = 0

    def attempt(n: int) -> np.ndarray:
        nonlocal place
        place += n
        return stream[place - n : place]

    found = until_successes(attempt, wanted=6, budget=5000, batch=batch)
    assert found.attempts == np.flatnonzero(stream)[5] + 1


@pytest.mark.parametrize("settings", [(1, 10, 1), (5, 4, 1), (2, 4, 0)])
def test_too_few_successes_or_too_small_a_budget_is_refused(settings: tuple[int, ...]) -> None:
    wanted, budget, batch = settings
    with pytest.raises(BadInput, match="want at least 2"):
        until_successes(lambda n: np.ones(n, bool), wanted=wanted, budget=budget, batch=batch)


def test_sampled_answers_are_right_as_often_as_their_probability_says() -> None:
    bridge = load("functions", device="cpu")
    model, tokenizer = bridge.original_model, bridge.tokenizer
    items = [
        Item(id=name, prompt="add 6 5 4 2 2 0 0 0 :", answer=answer, task="t", language="-",
             split="test")
        for name, answer in [("right", "6 3"), ("one", "6"), ("wrong", "5")]
    ]  # fmt: skip
    # At a temperature of 4 right and wrong answers are both to be expected.
    rates = item_success_rates(model, tokenizer, items, temperature=4.0, wanted=50, budget=3000)
    for item, (name, rate) in zip(items, rates, strict=True):
        assert name == item.id
        assert rate.interval.low < probability(model, tokenizer, item, 4.0) < rate.interval.high


@torch.no_grad()
def probability(model, tokenizer, item: Item, temperature: float) -> float:
    """Product of the answer's token probabilities, from one plain forward pass."""
    prompt, answer = (tokenizer(text).input_ids for text in (item.prompt, item.answer))
    answer = answer[1:] if answer[0] == tokenizer.bos_token_id else answer
    logits = model(torch.tensor([prompt + answer])).logits[0] / temperature
    each = logits.log_softmax(-1)[len(prompt) - 1 : -1, answer].diagonal()
    return float(each.sum().exp())


def test_the_same_seed_gives_the_same_attempts_and_another_other_ones() -> None:
    bridge = load("functions", device="cpu")
    item = Item(id="a", prompt="add 6 5 4 2 2 0 0 0 :", answer="6", task="t", language="-",
                split="test")  # fmt: skip

    def drawn(seed: int) -> list[bool]:
        attempt = answer_attempts(
            bridge.original_model, bridge.tokenizer, item, temperature=6.0, seed=seed
        )
        return attempt(200).tolist()

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_temperature_of_zero_is_refused() -> None:
    bridge = load("functions", device="cpu")
    item = Item(id="a", prompt="add", answer="6", task="t", language="-", split="test")
    with pytest.raises(BadInput, match="above 0"):
        answer_attempts(bridge.original_model, bridge.tokenizer, item, temperature=0.0)
