"""Few-shot prompts of a task as token ids, with their demonstrations right or shuffled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from interp.heads.function_vectors.tasks import Pair, Task
from interp.models.examples import encode_prompts
from interp.results.errors import BadInput

TEMPLATE = "Q: {input}\nA: {output}\n\n"
"""One demonstration, as arXiv 2310.15213 writes it; the question is the part before the output."""


class Prompt(NamedTuple):
    """A few-shot prompt: its tokens, and the token that should follow."""

    tokens: tuple[int, ...]
    answer: int


class Shots(NamedTuple):
    """Demonstrations and the pair that is asked, before they are written out."""

    demonstrations: tuple[Pair, ...]
    asked: Pair


class Split(NamedTuple):
    """A task's pairs by use: nothing that is asked in a test chose the heads."""

    shown: tuple[Pair, ...]
    """Demonstrations everywhere, and the questions of donor prompts."""
    asked: tuple[Pair, ...]
    """Questions of the prompts on which heads are scored."""
    held_out: tuple[Pair, ...]
    """Questions of the test of the vector."""


@dataclass(frozen=True)
class Template:
    """How one demonstration is written: a text with {input} and {output}, once each."""

    text: str = TEMPLATE

    def __post_init__(self) -> None:
        places = [self.text.find("{input}"), self.text.find("{output}")]
        counts = [self.text.count("{input}"), self.text.count("{output}")]
        if counts != [1, 1] or places[0] > places[1]:
            raise BadInput(
                f"template {self.text!r}: expected {{input}} once and {{output}} once after it"
            )
        if not self.text[: places[1]].replace("{input}", "x").rstrip():
            raise BadInput(f"template {self.text!r} has nothing to ask with before {{output}}")

    def write(self, shots: Shots) -> tuple[str, str]:
        """The prompt up to its last visible character, and what follows: blank and answer."""
        head, _, rest = self.text.partition("{input}")
        middle, _, tail = rest.partition("{output}")
        told = "".join(
            head + pair.input + middle + pair.output + tail for pair in shots.demonstrations
        )
        before = head + shots.asked.input + middle
        question = before.rstrip()
        return told + question, before[len(question) :] + shots.asked.output


def split_pairs(task: Task, *, n_shots: int, rng: np.random.Generator) -> Split:
    """Half of the pairs to show, a quarter to ask, a quarter held out, in an order drawn by `rng`.

    Raises BadInput where half are not more than `n_shots`.
    """
    n = len(task.pairs)
    n_shown = n - 2 * (n // 4)
    if n_shown <= n_shots or n < 4:
        least = next(m for m in range(4, 4 * n_shots + 8) if m - 2 * (m // 4) > n_shots)
        raise BadInput(
            f"task {task.name!r} has {n} pairs: {n_shots} shots need at least {least}; give more "
            "or ask for fewer shots"
        )
    drawn = [task.pairs[i] for i in rng.permutation(n)]
    return Split(
        shown=tuple(drawn[:n_shown]),
        asked=tuple(drawn[n_shown : n_shown + n // 4]),
        held_out=tuple(drawn[n_shown + n // 4 :]),
    )


def draw_shots(
    shown: Sequence[Pair], asked: Sequence[Pair], *, n: int, n_shots: int, rng: np.random.Generator
) -> list[Shots]:
    """`n` sets of `n_shots` different demonstrations and a question that is not among them.

    Questions come in turn, so that each is asked as often as any other, give or take one.
    """
    order = rng.permutation(len(asked))
    found = []
    for i in range(n):
        question = asked[int(order[i % len(asked)])]
        others = [pair for pair in shown if pair.input != question.input]
        places = rng.choice(len(others), size=n_shots, replace=False)
        found.append(Shots(tuple(others[int(place)] for place in places), question))
    return found


def shuffled(shots: Shots, rng: np.random.Generator) -> Shots:
    """The same demonstrations with their outputs exchanged at random; the question stays."""
    order = rng.permutation(len(shots.demonstrations))
    outputs = [shots.demonstrations[int(place)].output for place in order]
    told = tuple(
        Pair(pair.input, output) for pair, output in zip(shots.demonstrations, outputs, strict=True)
    )
    return Shots(told, shots.asked)


def encode_shots(
    shots: Sequence[Shots], template: Template, tokenizer: PreTrainedTokenizerBase
) -> list[Prompt]:
    """Prompts as the tokenizer reads them with their answer; its first token is what should follow.

    Raises BadInput where the tokenizer merges the end of a prompt with its answer.
    """
    written = [template.write(one) for one in shots]
    alone = encode_prompts([prompt for prompt, _ in written], tokenizer)
    whole = encode_prompts([prompt + answer for prompt, answer in written], tokenizer)
    prompts = []
    for one, prompt, both in zip(shots, alone, whole, strict=True):
        if len(prompt) < 2 or len(both) <= len(prompt) or both[: len(prompt)] != prompt:
            raise BadInput(
                f"the tokenizer does not keep {template.text!r} apart from the answer "
                f"{one.asked.output!r}: choose a template whose text before {{output}} ends a token"
            )
        prompts.append(Prompt(tuple(prompt), both[len(prompt)]))
    return prompts
