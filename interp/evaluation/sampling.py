"""Attempts at an answer: tokens sampled from a model after a prompt, many at a time."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.evaluation.items import Item
from interp.evaluation.success_rate import Attempt
from interp.models.examples import encode_answers, encode_prompts
from interp.results.errors import BadInput


def answer_attempts(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    item: Item,
    *,
    temperature: float = 1.0,
    seed: int | Sequence[int] = 0,
) -> Attempt:
    """A function that samples n answers to the item at once and says which are right.

    The prompt goes through the model once, at the first attempt; samples read its keys and values.
    A sample whose token is not the answer's is not continued: it has failed.
    """
    if not temperature > 0:
        raise BadInput(f"temperature {temperature}: sampling needs one above 0")
    (prompt,) = encode_prompts([item.prompt], tokenizer)
    (answer,) = encode_answers([item.answer], tokenizer)
    if not prompt or not answer:
        raise BadInput(f"item {item.id!r} has no token in prompt or answer")
    return _Attempts(model, prompt, answer, temperature=temperature, seed=seed)


class _Attempts:
    """Samples an answer token by token; what the model has read of the prompt is kept."""

    def __init__(
        self,
        model: nn.Module,
        prompt: list[int],
        answer: list[int],
        *,
        temperature: float,
        seed: int | Sequence[int],
    ) -> None:
        self.model: Any = model
        self.prompt = prompt
        self.answer = answer
        self.temperature = temperature
        state = np.random.SeedSequence(seed).generate_state(1)
        self.generator = torch.Generator().manual_seed(int(state[0]))
        self.after_prompt: Any = None

    @torch.no_grad()
    def __call__(self, n: int) -> Bool[np.ndarray, " n"]:
        if self.after_prompt is None:
            self.after_prompt = self._read(self.prompt)
        right = np.ones(n, dtype=bool)
        after = self.after_prompt
        for place, wanted in enumerate(self.answer):
            going = np.flatnonzero(right)
            right[going] = (self._draw(after.logits[0, -1], len(going)) == wanted).numpy()
            if place + 1 == len(self.answer) or not right.any():
                break
            # All that goes on has said the same tokens, so one row serves them all.
            after = self._read([wanted], deepcopy(after.past_key_values))
        return right

    def _read(self, tokens: list[int], cache: Any = None) -> Any:
        device = next(self.model.parameters()).device
        ids = torch.tensor([tokens], device=device)
        return self.model(input_ids=ids, past_key_values=cache, use_cache=len(self.answer) > 1)

    def _draw(self, logits: Tensor, n: int) -> Int[Tensor, " n"]:
        probabilities = (logits.float().cpu() / self.temperature).softmax(-1)
        return torch.multinomial(probabilities, n, replacement=True, generator=self.generator)
