"""Log-probabilities of answers, token by token: what every loss of an alignment is made of."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from interp.abilities.allo.pairs import EncodedPairs, Side
from interp.abilities.training.processes import summed


class ReferenceLogProbs(NamedTuple):
    """What a reference model gives to both answers of every pair; zeros off the answers."""

    chosen: Float[Tensor, "pairs pos"]
    rejected: Float[Tensor, "pairs pos"]

    def side(self, name: Side) -> Float[Tensor, "pairs pos"]:
        """Of the chosen or of the rejected answers."""
        return self.chosen if name == "chosen" else self.rejected


def answer_log_probs(
    model: nn.Module, tokens: Int[Tensor, "rows pos"], answer: Bool[Tensor, "rows pos"]
) -> Float[Tensor, "rows pos"]:
    """log π(y_t | everything before) in nats at every token of the answer, 0 elsewhere.

    float32 whatever the model computes in. Padding lies on the right, so no attention mask is
    needed; the first token of a row has nothing before it and must not be an answer's.
    """
    scored = answer[:, 1:]
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits[scored].float()
    of_answers = -functional.cross_entropy(logits, tokens[:, 1:][scored], reduction="none")
    return torch.zeros(tokens.shape, device=tokens.device).masked_scatter(answer, of_answers)


def reference_log_probs(
    model: nn.Module,
    pairs: EncodedPairs,
    *,
    batch_size: int = 64,
    sides: Sequence[Side] = ("chosen", "rejected"),
    accelerator: Accelerator | None = None,
) -> ReferenceLogProbs:
    """The model's own log-probabilities of the pairs' answers, once, as a reference to train from.

    Under several processes each computes a part of the pairs, and all get the whole. A side that
    is not asked for is zeros.
    """
    place = next(model.parameters()).device
    given = {side: torch.zeros(pairs.side(side).tokens.shape) for side in ("chosen", "rejected")}
    rank, world = (
        (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    )
    for side in sides:
        answers = pairs.side(side)
        for start in range(rank * batch_size, len(pairs), world * batch_size):
            rows = slice(start, start + batch_size)
            tokens, answer = trimmed(answers.tokens[rows], answers.answer[rows])
            # In the arithmetic of the training, or ratios would not start at 0.
            precision = nullcontext() if accelerator is None else accelerator.autocast()
            with torch.no_grad(), precision:
                found = answer_log_probs(model, tokens.to(place), answer.to(place))
            given[side][rows, : tokens.shape[1]] = found.cpu()
        if accelerator is not None and world > 1:
            # Every pair was computed by one process and is 0 on the others: the sum is exact.
            given[side] = summed(accelerator, given[side].to(accelerator.device)).cpu()
    return ReferenceLogProbs(given["chosen"], given["rejected"])


def trimmed(
    tokens: Int[Tensor, "rows pos"], answer: Bool[Tensor, "rows pos"]
) -> tuple[Int[Tensor, "rows end"], Bool[Tensor, "rows end"]]:
    """The same rows without the padding that all of them have."""
    end = int(answer.any(0).nonzero().max()) + 1
    return tokens[:, :end], answer[:, :end]
