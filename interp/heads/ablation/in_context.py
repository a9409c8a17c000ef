"""In-context learning as measures of an ablation: what it loses when heads are replaced.

Each measure gives one number for every item (a sequence of text, a prompt), under whatever stands
in for the heads while it runs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.sources import open_corpus
from interp.heads.icl.asking import ask
from interp.heads.icl.loss_reduction import (
    Window,
    scaled_windows,
    whole_sequences,
    window_losses,
)
from interp.heads.icl.prompts import Condition, PromptSet, make_prompts
from interp.heads.icl.tasks import open_tasks
from interp.models.context import context_of, length_within, refuse_beyond_context
from interp.results.errors import BadInput

Measure = Callable[[TransformerBridge], Float[np.ndarray, " items"]]
"""One number for every item, always the same items in the same order."""
PAPER_LENGTH = 501
SHOTS = (10,)


def in_context_measures(
    bridge: TransformerBridge,
    *,
    text: Path | str | None = None,
    tasks: Path | str | None = None,
    shots: Sequence[int] = SHOTS,
    n_prompts: int = 200,
    n_sequences: int = 100,
    length: int | None = None,
    seed: int = 0,
) -> dict[str, Measure]:
    """The levels of in-context learning (arXiv 2402.13055 section 4.1), by name.

    From `text`, loss reduction: late tokens' loss less the early ones', in nats, so that ablation
    raises it where it hurts. From `tasks`, format compliance and pattern discovery of every task
    after so many demonstrations, 0 or 1 a prompt.
    """
    found: dict[str, Measure] = {}
    if text is not None:
        model = _named(bridge)
        size = length_within(bridge, length, default=PAPER_LENGTH)
        refuse_beyond_context(bridge, size)
        corpus = open_corpus(text, model, length=size, packing="document")
        tokens = whole_sequences(corpus, n_sequences)
        found |= {
            f"loss reduction ({i}, {j})": loss_reduction(tokens, window=(i, j))
            for i, j in scaled_windows(size - 1)
        }
    if tasks is not None:
        config: Any = bridge.original_model.config
        prompts = make_prompts(
            open_tasks(tasks),
            _named(bridge),
            d_vocab=config.vocab_size,
            shots=shots,
            n_prompts=n_prompts,
            seed=seed,
            context=context_of(bridge),
        )
        found |= answered(prompts)
    return found


def loss_reduction(tokens: Int[np.ndarray, "sequences pos"], *, window: Window) -> Measure:
    """For every sequence, mean loss of tokens j to i + j less that of the first i, in nats."""
    i, j = window
    if not (i >= 1 and j >= 1 and i + j < tokens.shape[1]):
        raise BadInput(f"window ({i}, {j}): sequences of {tokens.shape[1]} tokens hold no such one")

    def measure(bridge: TransformerBridge) -> Float[np.ndarray, " items"]:
        early, late, _ = window_losses(bridge.original_model, tokens, (window,))[0]
        return late - early

    return measure


def answered(prompts: PromptSet) -> dict[str, Measure]:
    """Format compliance and pattern discovery of every task and number of demonstrations."""
    return {
        f"{task.task.name}, {level}, {k} shots": partial(
            _said, prompts, Condition(task=t, shots=s, shuffled=False), level
        )
        for t, task in enumerate(prompts.tasks)
        for s, k in enumerate(prompts.shots)
        for level in ("format", "pattern")
    }


def _said(
    prompts: PromptSet, condition: Condition, level: str, bridge: TransformerBridge
) -> Float[np.ndarray, " items"]:
    own, _ = ask(bridge.original_model, prompts, conditions=[condition])
    return getattr(own, level)[condition.task, condition.shots].astype(np.float64)


def _named(bridge: TransformerBridge) -> Any:
    if bridge.tokenizer is None:
        raise BadInput("the model has no tokenizer: text and tasks cannot be read with it")
    return bridge.tokenizer
