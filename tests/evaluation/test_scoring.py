"""Right or wrong, against a plain loop over single prompts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.evaluation.items import Item
from interp.evaluation.scoring import (
    choice_correct,
    continuation_log_probability,
    correct,
    encode_items,
    greedy_correct,
)
from interp.models.trainable import (
    TrainableModel,
    prompt_tokenizer,
    read_decoder,
    read_trainable,
)
from interp.results.errors import BadInput
from tests.models import tiny_model_directory


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    path: Path = tmp_path_factory.mktemp("models") / "llama"
    return read_trainable(tiny_model_directory("llama", path, adds_bos=True))


def items_of(rows: list[tuple[str, str, tuple[str, ...]]]) -> list[Item]:
    return [
        Item(id=str(i), prompt=p, answer=a, choices=c, task="t", language="A", split="test")
        for i, (p, a, c) in enumerate(rows)
    ]


def words(ids: list[int]) -> str:
    return " ".join(f"w{i}" for i in ids)


def greedy_continuation(model: torch.nn.Module, prompt: list[int], n: int) -> list[int]:
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_is_right_exactly_when_generation_gives_the_answer(small: TrainableModel) -> None:
    rng = np.random.default_rng(0)
    rows, expected = [], []
    while len(rows) < 24:
        prompt = rng.integers(4, 64, size=rng.integers(1, 5)).tolist()
        said = greedy_continuation(small.model, [1, *prompt], int(rng.integers(1, 4)))
        if min(said) < 4:
            continue
        answer = list(said)
        if wrong := rng.random() < 0.5:
            place = rng.integers(len(answer))
            answer[place] = 4 + (answer[place] - 3) % 60
        rows.append((words(prompt), words(answer), ()))
        expected.append(not wrong)
    encoded = encode_items(items_of(rows), small.tokenizer(), batch_size=5)
    assert greedy_correct(small.model, encoded).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_the_log_probability_is_the_sum_over_the_answers_tokens(small: TrainableModel) -> None:
    items = items_of([("w5 w6", "w7 w8", ())])
    (batch,) = encode_items(items, small.tokenizer()).batches
    with torch.no_grad():
        log_probability = small.model(input_ids=torch.tensor([[1, 5, 6, 7, 8]])).logits.log_softmax(
            -1
        )
    expected = log_probability[0, 2, 7] + log_probability[0, 3, 8]
    assert continuation_log_probability(small.model, batch) == pytest.approx(
        expected.item(), abs=1e-5
    )


def test_choice_is_right_exactly_when_no_other_choice_is_as_likely(small: TrainableModel) -> None:
    choices = tuple(words([i]) for i in range(10, 20))
    with torch.no_grad():
        logits = small.model(input_ids=torch.tensor([[1, 5, 6]])).logits[0, -1, 10:20]
    best = int(logits.argmax())
    items = items_of([("w5 w6", choice, choices) for choice in choices])
    answered = choice_correct(small.model, encode_items(items, small.tokenizer(), rule="choice"))
    assert answered.tolist() == [i == best for i in range(10)]


def test_choices_of_different_lengths_are_compared(small: TrainableModel) -> None:
    items = items_of([("w5", "w7", ("w7", "w7 w8")), ("w5", "w7 w8", ("w7", "w7 w8"))])
    encoded = encode_items(items, small.tokenizer(), rule="choice")
    assert correct(small.model, encoded, rule="choice").tolist() == [True, False]


def test_order_and_batch_size_do_not_change_an_answer(small: TrainableModel) -> None:
    rng = np.random.default_rng(1)
    rows = [(words(rng.integers(4, 64, size=3).tolist()), words([i]), ()) for i in range(4, 64)]
    one = greedy_correct(small.model, encode_items(items_of(rows), small.tokenizer()))
    other = greedy_correct(
        small.model, encode_items(items_of(rows[::-1]), small.tokenizer(), batch_size=7)
    )
    assert np.array_equal(one, other[::-1])


def test_what_cannot_be_scored_is_refused(small: TrainableModel) -> None:
    with pytest.raises(BadInput, match="has no choices"):
        encode_items(items_of([("w5", "w6", ())]), small.tokenizer(), rule="choice")
    with pytest.raises(BadInput, match="no token"):
        encode_items(items_of([("w5", " ", ())]), small.tokenizer())


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "olmo2", "mistral", "mixtral"])
def test_choices_that_share_a_prompt_score_as_if_each_were_read_whole(
    style: str, tmp_path: Path
) -> None:
    directory = tiny_model_directory(style, tmp_path / style)
    model, tokenizer = read_decoder(directory), prompt_tokenizer(directory)
    choices = ("w7 w8 w9", "w10 w11 w12", "w7", "w13")
    items = items_of([(prompt, choices[0], choices) for prompt in ("w5 w6", "w5 w6", "w5 w9")])
    for batch in encode_items(items, tokenizer, rule="choice").batches:
        with torch.no_grad():
            logits = model(input_ids=batch.tokens, use_cache=False).logits.log_softmax(-1)
        predicted = logits[:, -batch.n_answer - 1 : -1]
        expected = predicted.gather(-1, batch.tokens[:, -batch.n_answer :, None]).sum((1, 2))
        np.testing.assert_allclose(
            continuation_log_probability(model, batch), expected.numpy(), atol=1e-5
        )
