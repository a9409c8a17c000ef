"""Training: next-token cross-entropy on a transformers model, one loop for every recipe of ours."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from interp.results.errors import BadInput

_STEPS_BETWEEN_REPORTS = 10


class TrainingBatch(NamedTuple):
    """Token ids, padded on the right, and which of them the loss is taken on."""

    tokens: Int[Tensor, "batch pos"]
    target: Bool[Tensor, "batch pos"]
    """True where the token is to be predicted from those before it; the first never is."""


def next_token_loss(model: nn.Module, batch: TrainingBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats over the targets of the batch.

    Padding lies on the right, so under causal attention no other position sees it and no
    attention mask is needed. Raises BadInput if the batch has no target.
    """
    scored = batch.target[:, 1:]
    if not bool(scored.any()):
        raise BadInput("a batch has no token to predict: every answer or text in it is empty")
    logits = model(input_ids=batch.tokens[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits[scored].float(), batch.tokens[:, 1:][scored])


def warmup_cosine(step: int, *, steps: int, warmup: int) -> float:
    """Share of the full learning rate at `step` (from 0): linear up, then half a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def adamw(
    groups: list[dict[str, Any]] | Iterable[nn.Parameter],
    *,
    lr: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """AdamW in its fused form; a group may carry its own `lr` and `weight_decay`."""
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, betas=betas, fused=True)


def shuffled_training_batches(
    tokens: Int[Tensor, "examples pos"],
    target: Bool[Tensor, "examples pos"],
    *,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[TrainingBatch]:
    """Endless batches, each as long as its longest example: a new order every epoch.

    A batch may span the border of two epochs.
    """
    if len(tokens) == 0:
        raise BadInput("there is nothing to train on: the corpus has no example")
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(tokens), generator=generator)])
        chosen, order = order[:batch_size], order[batch_size:]
        scored = target[chosen]
        end = int(scored.any(0).nonzero().max()) + 1 if bool(scored.any()) else scored.shape[1]
        yield TrainingBatch(tokens[chosen, :end], scored[:, :end])


def train(
    model: nn.Module,
    batches: Iterator[TrainingBatch],
    *,
    steps: int,
    optimizer: torch.optim.Optimizer,
    warmup: int = 30,
    accumulate: int = 1,
    clip_norm: float | None = None,
    loss_of: Callable[[nn.Module, TrainingBatch], Float[Tensor, ""]] = next_token_loss,
    before_step: Callable[[], None] | None = None,
    after_step: Callable[[], None] | None = None,
    on_progress: Callable[..., None] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train `model` in place for `steps` updates; the loss of every step, in nats.

    Each group's learning rate is its initial one times `warmup_cosine`. Dropout is off, so the
    result is a function of the weights and the batches alone. `before_step()` runs when the
    gradients stand, before they are clipped over the optimizer's parameters; `after_step()`
    after each update. `on_progress` is the `advance` of `interp.results.progress`.
    """
    model.eval()
    device = next(model.parameters()).device
    full_rates = [group["lr"] for group in optimizer.param_groups]
    losses = torch.zeros(steps, device=device)
    for step in range(steps):
        share = warmup_cosine(step, steps=steps, warmup=warmup)
        for group, rate in zip(optimizer.param_groups, full_rates, strict=True):
            group["lr"] = rate * share
        optimizer.zero_grad(set_to_none=True)
        for _ in range(accumulate):
            batch = next(batches)
            moved = TrainingBatch(batch.tokens.to(device), batch.target.to(device))
            loss = loss_of(model, moved) / accumulate
            if loss.requires_grad:
                loss.backward()
            losses[step] += loss.detach()
        if before_step is not None:
            before_step()
        if clip_norm is not None:
            trained = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, clip_norm)
        optimizer.step()
        if after_step is not None:
            after_step()
        _report(on_progress, losses, step=step, steps=steps)
    for group, rate in zip(optimizer.param_groups, full_rates, strict=True):
        group["lr"] = rate
    return losses.cpu().numpy().astype(np.float64)


def _report(
    on_progress: Callable[..., None] | None, losses: Tensor, *, step: int, steps: int
) -> None:
    """Advance the bar every few steps: reading a loss makes an accelerator wait."""
    done = step + 1
    if on_progress is None or (done % _STEPS_BETWEEN_REPORTS and done != steps):
        return
    new = done % _STEPS_BETWEEN_REPORTS or _STEPS_BETWEEN_REPORTS
    on_progress(new, loss=f"{float(losses[step]):.3f}")
