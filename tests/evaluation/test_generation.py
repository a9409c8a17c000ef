"""What a model says, against a plain loop that reads everything again for every token."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.evaluation.generation import end_tokens, generate
from interp.models.trainable import prompt_tokenizer, read_decoder
from interp.results.errors import BadInput
from tests.models import EOS, tiny_model_directory


class Opened(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def opened(style: str, directory: Path) -> Opened:
    path = tiny_model_directory(style, directory / style)
    return Opened(read_decoder(path), prompt_tokenizer(path))


def prompts_of(n: int, *, longest: int = 6) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        " ".join(f"w{i}" for i in rng.integers(4, 64, size=rng.integers(1, longest + 1)))
        for _ in range(n)
    ]


def one_by_one(trained: Opened, prompt: str, n: int) -> list[int]:
    """The likeliest tokens after one prompt, without padding and without a cache."""
    ids = trained.tokenizer(prompt)["input_ids"]
    said: list[int] = []
    for _ in range(n):
        with torch.no_grad():
            logits = trained.model(input_ids=torch.tensor([ids + said]), use_cache=False).logits
        said.append(int(logits[0, -1].argmax()))
        if said[-1] == EOS:
            break
    return said


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "olmo2", "mistral", "mixtral"])
def test_batches_with_padding_and_cache_say_what_a_plain_loop_says(
    style: str, tmp_path: Path
) -> None:
    trained = opened(style, tmp_path)
    tokenizer, prompts = trained.tokenizer, prompts_of(9)
    said = generate(trained.model, tokenizer, prompts, max_new_tokens=5, batch_size=4)
    for prompt, one in zip(prompts, said, strict=True):
        ids = one_by_one(trained, prompt, 5)
        text = tokenizer.decode([i for i in ids if i != EOS], skip_special_tokens=True)
        assert one.text == text
        assert one.truncated == (EOS not in ids)


def test_a_text_ends_before_the_first_stop(tmp_path: Path) -> None:
    trained = opened("llama", tmp_path)
    whole = generate(trained.model, trained.tokenizer, ["w5 w6"], max_new_tokens=4)[0].text
    first, second, *_ = whole.split()
    (cut,) = generate(
        trained.model, trained.tokenizer, ["w5 w6"], max_new_tokens=4, stop=(" ", second)
    )
    assert (cut.text, cut.truncated) == (first, False)


def test_what_never_ends_is_refused_and_not_counted_wrong(tmp_path: Path) -> None:
    trained = opened("llama", tmp_path)
    tokenizer = trained.tokenizer
    trained.model.config.eos_token_id = None
    assert trained.model.generation_config is not None
    trained.model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    assert end_tokens(trained.model, tokenizer) == frozenset()
    with pytest.raises(BadInput, match="never ends: give a stop"):
        generate(trained.model, tokenizer, ["w5"], max_new_tokens=4)
    assert generate(trained.model, tokenizer, ["w5"], max_new_tokens=1, stop=(" ",))[0].truncated


def test_every_end_of_text_that_the_files_name_counts(tmp_path: Path) -> None:
    trained = opened("llama", tmp_path)
    assert trained.model.generation_config is not None
    trained.model.generation_config.eos_token_id = [EOS, 9]
    assert end_tokens(trained.model, trained.tokenizer) == {EOS, 9}


@pytest.mark.parametrize(
    ("prompt", "n", "said"),
    [
        ("w5", 64, "do not fit into the 64 positions"),
        ("", 4, "has no token"),
        ("w5", 0, "at least"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(
    tmp_path: Path, prompt: str, n: int, said: str
) -> None:
    trained = opened("llama", tmp_path)
    with pytest.raises(BadInput, match=said):
        generate(trained.model, trained.tokenizer, [prompt], max_new_tokens=n)
