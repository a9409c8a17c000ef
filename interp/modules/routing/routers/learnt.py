"""Learnt: a small network from the input to the experts' true scores, as MoEfication trains it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from interp.modules.routing.router import Lesson, Router, Scorer, expert_means, unit
from interp.modules.routing.scores import captured

EPOCHS, BATCH, RATE, HELD_OUT = 30, 512, 0.01, 0.1
_SHARE = 0.2


def fit(lesson: Lesson) -> Scorer:
    """W2 tanh(W1 x/‖x‖), without biases; W1 starts at the mean directions, W2 at the identity.

    Adam at .01, binary cross-entropy to s / (largest s of the batch), 30 epochs of batches of 512
    on nine tenths of the rows; of the epochs the one is kept that captures most at k = 0.2 E on the
    last tenth.
    """
    layer, x = lesson.layer, unit(lesson.x)
    generator = torch.Generator().manual_seed(lesson.seed)
    order = torch.randperm(len(x), generator=generator)
    n_held = int(HELD_OUT * len(x))
    held, trained = order[:n_held], order[n_held:]
    weights = [
        expert_means(unit(layer.rows.float()), layer).clone().requires_grad_(),
        torch.eye(layer.n_experts).requires_grad_(),
    ]
    optimiser = torch.optim.Adam(weights, lr=RATE)
    best, kept = -1.0, [w.detach().clone() for w in weights]
    for _ in range(EPOCHS):
        shuffled = trained[torch.randperm(len(trained), generator=generator)]
        for batch in shuffled.split(BATCH):
            optimiser.zero_grad()
            _loss(_logits(x[batch], *weights), lesson.scores[batch]).backward()
            optimiser.step()
        found = _captured_at_a_fifth(lesson.scores[held], _logits(x[held], *weights).detach())
        if found > best:
            best, kept = found, [w.detach().clone() for w in weights]
    return lambda value: _logits(unit(value), *(w.to(value) for w in kept))


def _logits(
    x: Float[Tensor, "rows d_model"],
    W1: Float[Tensor, "experts d_model"],
    W2: Float[Tensor, "experts experts"],
) -> Float[Tensor, "rows experts"]:
    return torch.tanh(x @ W1.T) @ W2.T


def _loss(
    logits: Float[Tensor, "rows experts"], scores: Float[Tensor, "rows experts"]
) -> Float[Tensor, ""]:
    largest = scores.max()
    target = scores / largest if largest > 0 else torch.zeros_like(scores)
    return binary_cross_entropy_with_logits(logits, target)


def _captured_at_a_fifth(
    true: Float[Tensor, "rows experts"], predicted: Float[Tensor, "rows experts"]
) -> float:
    """Mean over rows; 0 where no row has anything to capture."""
    k = max(int(_SHARE * true.shape[1]), 1)
    return float(captured(true, predicted)[:, k - 1].nanmean().nan_to_num(0.0))


ROUTER = Router(
    name="learnt",
    question="a two-layer network's guess of the expert's true contribution",
    source="MoEfication, 2110.01786 (its released code)",
    reads="input",
    fit=fit,
)
