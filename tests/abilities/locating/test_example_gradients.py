"""Gradients of single examples, of a batch at once and one after the other."""

import pytest
import torch

from interp.abilities.locating import example_gradients as module
from interp.abilities.locating.evidence import gradient_moments
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel, read_trainable
from interp.models.training import TrainingBatch, next_token_loss
from interp.results.errors import BadInput
from tests.models import DECODERS, tiny_model_directory


def unequal_examples(n: int = 5, *, length: int = 7) -> TrainingExamples:
    """Examples of different lengths and counts of targets."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(4, 60, (n, length), generator=generator)
    end = torch.arange(n) % 4 + 4
    place = torch.arange(length)
    target = (place >= 2 + torch.arange(n)[:, None] % 2) & (place < end[:, None])
    return TrainingExamples(tokens=tokens.masked_fill(place >= end[:, None], 0), target=target)


def one_after_the_other(
    small: TrainableModel, examples: TrainingExamples, name: str
) -> torch.Tensor:
    found = []
    for row in range(len(examples)):
        batch = TrainingBatch(examples.tokens[row : row + 1], examples.target[row : row + 1])
        loss = next_token_loss(small.model, batch)
        (gradient,) = torch.autograd.grad(loss, [small.parameters[name]], allow_unused=True)
        found.append(torch.zeros_like(small.parameters[name]) if gradient is None else gradient)
    return torch.stack(found)


@pytest.mark.parametrize("style", DECODERS)
def test_a_batch_gives_the_moments_of_its_single_examples(style: str, tmp_path) -> None:
    small = read_trainable(tiny_model_directory(style, tmp_path / style))
    examples, names = unequal_examples(), sorted(small.parameters)
    moments = gradient_moments(small, examples, names)
    for name in names:
        each = one_after_the_other(small, examples, name)
        for part, expected in (
            (moments.mean, each.mean(0)),
            (moments.mean_abs, each.abs().mean(0)),
            (moments.mean_square, each.square().mean(0)),
        ):
            torch.testing.assert_close(part[name], expected, atol=1e-6, rtol=1e-4, msg=name)


def test_most_of_a_llama_needs_no_pass_of_its_own(tmp_path, monkeypatch) -> None:
    small = read_trainable(tiny_model_directory("llama", tmp_path / "llama"))
    monkeypatch.setattr(module, "_one_by_one", lambda *_: pytest.fail("a pass for each example"))
    gradient_moments(small, unequal_examples(), sorted(small.parameters))


def test_how_many_gradients_are_held_changes_nothing(tmp_path, monkeypatch) -> None:
    small = read_trainable(tiny_model_directory("llama", tmp_path / "llama"))
    examples, names = unequal_examples(), sorted(small.parameters)
    whole = gradient_moments(small, examples, names)
    monkeypatch.setattr(module, "ENTRIES_AT_A_TIME", 3000)
    for name, mean_abs in gradient_moments(small, examples, names).mean_abs.items():
        torch.testing.assert_close(mean_abs, whole.mean_abs[name], atol=1e-7, rtol=1e-5)


def test_an_example_without_a_target_is_refused(tmp_path) -> None:
    small = read_trainable(tiny_model_directory("llama", tmp_path / "llama"))
    examples = unequal_examples()
    empty = TrainingExamples(
        tokens=examples.tokens, target=examples.target & (torch.arange(5)[:, None] != 2)
    )
    with pytest.raises(BadInput, match="no token to predict"):
        gradient_moments(small, empty, ["model.norm.weight"])
