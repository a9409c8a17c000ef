"""Answers under every rule, against the rules' own definitions."""

import numpy as np
import pytest
import torch

from interp.evaluation.answering import answer_items
from interp.evaluation.items import Item
from interp.evaluation.normaliser import Normaliser
from interp.evaluation.protocol import Protocol
from interp.evaluation.scoring import choice_correct, encode_items, greedy_correct
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput, CorruptFile
from tests.models import tiny_model_directory


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    return read_trainable(tiny_model_directory("llama", tmp_path_factory.mktemp("m") / "llama"))


def items_of(rows: list[tuple[str, str, tuple[str, ...]]]) -> list[Item]:
    return [
        Item(id=str(i), prompt=p, answer=a, choices=c, task="t", language="A", split="test")
        for i, (p, a, c) in enumerate(rows)
    ]


def words(ids: list[int]) -> str:
    return " ".join(f"w{i}" for i in ids)


def some_choices(n: int = 20) -> list[Item]:
    """Choices of one to three tokens, of different numbers."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(n):
        sizes = rng.integers(1, 4, size=rng.integers(2, 5))
        choices = tuple(
            dict.fromkeys(words(rng.integers(4, 64, size=size).tolist()) for size in sizes)
        )
        rows.append((words(rng.integers(4, 64, size=3).tolist()), choices[0], choices))
    return items_of([row for row in rows if len(row[2]) > 1])


def log_probability(small: TrainableModel, prompt: str, choice: str) -> float:
    """Summed over the choice's tokens, from one whole pass without a cache."""
    tokenizer = small.tokenizer()
    before, after = tokenizer(prompt)["input_ids"], tokenizer(choice)["input_ids"]
    with torch.no_grad():
        logits = small.model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
    places = range(len(before) - 1, len(before) + len(after) - 1)
    return sum(float(logits[place, token]) for place, token in zip(places, after, strict=True))


@pytest.mark.parametrize("per_byte", [False, True])
def test_the_choice_taken_has_the_highest_log_probability_by_sum_or_per_byte(
    small: TrainableModel, per_byte: bool
) -> None:
    items = some_choices()
    rule = "choice_per_byte" if per_byte else "choice"
    answers = answer_items(small.model, small.tokenizer(), items, Protocol(rule=rule), batch_size=7)
    for item, said, right in zip(items, answers.said, answers.correct, strict=True):
        scores = {
            choice: log_probability(small, item.prompt, choice) / (len(choice) if per_byte else 1)
            for choice in item.choices
        }
        assert said == max(scores, key=lambda choice: scores[choice])
        assert right == (said == item.answer)
    assert 0 < answers.correct.sum() < len(items)


def test_both_margins_are_kept_whichever_rule_decides(small: TrainableModel) -> None:
    items = some_choices()
    one, other = (
        answer_items(small.model, small.tokenizer(), items, Protocol(rule=rule))
        for rule in ("choice", "choice_per_byte")
    )
    np.testing.assert_allclose(one.margin, other.margin)
    np.testing.assert_array_equal(one.correct, one.margin > 0)
    np.testing.assert_array_equal(other.correct, one.margin_per_byte > 0)
    assert (one.correct != other.correct).any()


def test_greedy_and_choice_give_what_the_scoring_functions_give(small: TrainableModel) -> None:
    items = some_choices()
    tokenizer = small.tokenizer()
    greedy = answer_items(small.model, tokenizer, items, Protocol(rule="greedy"))
    choice = answer_items(small.model, tokenizer, items, Protocol(rule="choice"))
    np.testing.assert_array_equal(
        greedy.correct, greedy_correct(small.model, encode_items(items, tokenizer))
    )
    np.testing.assert_array_equal(
        choice.correct, choice_correct(small.model, encode_items(items, tokenizer, rule="choice"))
    )


def spoken(small: TrainableModel, prompt: list[int], n: int) -> list[int]:
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(small.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_says_the_answer_up_to_the_first_token_that_is_not_it(
    small: TrainableModel,
) -> None:
    said = spoken(small, [5, 6], 3)
    wrong = [said[0], 4 + (said[1] - 3) % 60, said[2]]
    items = items_of([("w5 w6", words(said), ()), ("w5 w6", words(wrong), ())])
    answers = answer_items(small.model, small.tokenizer(), items, Protocol())
    assert answers.said == (words(said), words(said[:2]))
    assert answers.correct.tolist() == [True, False]


def test_a_generated_answer_is_right_when_normalised_it_is_the_answer(
    small: TrainableModel,
) -> None:
    first, second, *_ = spoken(small, [5, 6], 3)
    items = items_of([("w5 w6", f" W{first} ", ()), ("w5 w6", f"w{second}", ())])
    protocol = Protocol(rule="generate", stop=(" ",), max_new_tokens=4)
    answers = answer_items(small.model, small.tokenizer(), items, protocol)
    assert answers.said == (f"w{first}",) * 2
    assert answers.correct.tolist() == [True, False]
    strict = Protocol(
        rule="generate", stop=(" ",), max_new_tokens=4, normaliser=Normaliser(casefold=False)
    )
    assert not answer_items(small.model, small.tokenizer(), items, strict).correct.any()


def test_an_answer_after_a_marker_is_taken(small: TrainableModel) -> None:
    first, second, third, *_ = spoken(small, [5, 6], 4)
    items = items_of([("w5 w6", f"w{second}", ())])
    protocol = Protocol(
        rule="generate",
        stop=(f" w{third}",),
        max_new_tokens=4,
        normaliser=Normaliser(markers=(f"w{first}",)),
    )
    answers = answer_items(small.model, small.tokenizer(), items, protocol)
    assert answers.said == (f"w{first} w{second}",)
    assert answers.correct.tolist() == [True]


def test_a_truncated_answer_is_wrong_and_reported(small: TrainableModel) -> None:
    said = words(spoken(small, [5, 6], 2))
    items = items_of([("w5 w6", said, ())])
    protocol = Protocol(rule="generate", max_new_tokens=2)
    answers = answer_items(small.model, small.tokenizer(), items, protocol)
    assert answers.said == (said,)
    assert answers.truncated.tolist() == [True] and answers.correct.tolist() == [False]


@pytest.mark.parametrize(
    ("item", "rule", "said"),
    [
        (("w5", "w6", ()), "choice", "has no choices"),
        (("w5", "w6", ("w6", "w6")), "choice_per_byte", "has no choices"),
        (("w5", "answer:", ()), "generate", "nothing is left"),
    ],
)
def test_an_item_without_a_right_answer_under_the_rule_is_refused(
    small: TrainableModel, item: tuple[str, str, tuple[str, ...]], rule, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        answer_items(small.model, small.tokenizer(), items_of([item]), Protocol(rule=rule))


def test_a_protocol_is_saved_whole_and_knows_its_rules() -> None:
    one = Protocol(rule="generate", stop=("\n",), max_new_tokens=7)
    assert Protocol.from_json(one.to_json()) == one
    with pytest.raises(CorruptFile, match="how items were asked"):
        Protocol.from_json({"rule": "greedy"})
