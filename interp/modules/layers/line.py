"""The loss along the straight line between two models of one shape: are they in one valley?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.modules.layers.analysis import Line
from interp.modules.layers.blocks import resid_post
from interp.modules.layers.reading import Read, read_batches
from interp.modules.layers.sharing import each_once
from interp.results.errors import BadInput, Mismatch

POINTS = 25
_DRAWS = 2000


def loss_along_line(
    bridge: TransformerBridge,
    other: TransformerBridge,
    batches: Sequence[TokenBatch],
    *,
    name: str,
    other_hash: str | None,
    points: int = POINTS,
    seed: int = 0,
    advance: Callable[..., None] = lambda: None,
) -> Line:
    """Loss at θ₁ + a(θ₂ - θ₁) for `points` values of a from 0 to 1, and the barrier.

    barrier = max_a [L(a) - ((1 - a) L(0) + a L(1))]. All points see the same text, and a bootstrap
    draw the same sequences at all of them. The bridge has its own weights again at the end.

    Raises Mismatch where the two do not have the same tensors, naming the first that differs.
    """
    if points < 3:
        raise BadInput(f"{points} points on a line: at least 3, its ends and one between")
    ends = _paired(bridge, other, name)
    at = np.linspace(0.0, 1.0, points)
    site = resid_post(bridge, 0)

    def read_at(share: float) -> Read:
        with _between(ends, share):
            found = read_batches(bridge, batches, sites=[site], pooling="mean")
        # States are not needed, and need not travel.
        return found._replace(states=found.states[:, :0])

    reads = each_once([partial(read_at, float(share)) for share in at], advance)
    by_sequence, weight = np.stack([read.loss for read in reads]), reads[0].n_tokens
    drawn = _drawn(by_sequence, weight, np.random.default_rng([seed, 2]))
    loss = by_sequence.sum(axis=1) / weight.sum()
    low, high = np.quantile(_barrier(drawn, at), [0.025, 0.975])
    return Line(
        other=name,
        other_hash=other_hash,
        at=at,
        loss=loss,
        interval=np.quantile(drawn, [0.025, 0.975], axis=0).T,
        barrier=np.array([_barrier(loss[None], at)[0], low, high]),
    )


def _barrier(
    loss: Float[np.ndarray, "draws points"], at: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " draws"]:
    return (loss - (1 - at) * loss[:, :1] - at * loss[:, -1:]).max(axis=1)


def _drawn(
    by_sequence: Float[np.ndarray, "points sequences"],
    weight: Float[np.ndarray, " sequences"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "draws points"]:
    n = len(weight)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    return counts @ by_sequence.T / (counts @ weight)[:, None]


def _paired(
    bridge: TransformerBridge, other: TransformerBridge, name: str
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Every parameter, a copy of it, and the other model's."""
    own = dict(bridge.original_model.named_parameters())
    theirs = dict(other.original_model.named_parameters())
    odd = sorted(own.keys() ^ theirs.keys())
    if odd:
        raise Mismatch(
            f"{name} and the model do not have the same tensors: {odd[0]} is in one only. Give two "
            "checkpoints of one architecture"
        )
    for key, value in own.items():
        if value.shape != theirs[key].shape:
            raise Mismatch(
                f"{key} is {tuple(value.shape)} in the model and {tuple(theirs[key].shape)} in "
                f"{name}: a line needs two checkpoints of one shape"
            )
    return [(value, value.detach().clone(), theirs[key].detach()) for key, value in own.items()]


@contextmanager
def _between(ends: list[tuple[Tensor, Tensor, Tensor]], share: float) -> Iterator[None]:
    try:
        with torch.no_grad():
            for live, own, theirs in ends:
                live.copy_(torch.lerp(own, theirs.to(own), share))
        yield
    finally:
        with torch.no_grad():
            for live, own, _ in ends:
                live.copy_(own)
