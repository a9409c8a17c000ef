"""Mean output of every head at the last token of some prompts."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.evaluation.scoring import only_last
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.function_vectors.prompts import Prompt
from interp.interventions.running import watched


class Padded(NamedTuple):
    """Prompts on one right edge: padding stands on the left, so the last column asks."""

    tokens: Int[Tensor, "batch pos"]
    seen: Int[Tensor, "batch pos"]
    """1 where a token of the prompt stands."""
    position: Int[Tensor, "batch pos"]
    answers: Int[Tensor, " batch"]


def padded(prompts: Sequence[Prompt], device: torch.device) -> Padded:
    """Prompts as one batch on `device`."""
    longest = max(len(prompt.tokens) for prompt in prompts)
    gaps = [longest - len(prompt.tokens) for prompt in prompts]
    tokens = [[0] * gap + list(one.tokens) for gap, one in zip(gaps, prompts, strict=True)]
    seen = torch.tensor([[0] * gap + [1] * (longest - gap) for gap in gaps], device=device)
    return Padded(
        tokens=torch.tensor(tokens, device=device),
        seen=seen,
        position=(seen.cumsum(1) - 1).clamp(min=0),
        answers=torch.tensor([prompt.answer for prompt in prompts], device=device),
    )


def batches(
    prompts: Sequence[Prompt], *, batch_size: int, device: torch.device
) -> Iterator[Padded]:
    """Prompts in order, `batch_size` at a time."""
    for start in range(0, len(prompts), batch_size):
        yield padded(prompts[start : start + batch_size], device)


@torch.no_grad()
def mean_head_outputs(
    geometry: HeadGeometry, prompts: Sequence[Prompt], *, batch_size: int
) -> Float[Tensor, "n_layers n_heads d_head"]:
    """Mean over prompts of every head's output (before W_O) at the last token, in float64."""
    sums: dict[int, Tensor] = {}

    def add(layer: int, z: Float[Tensor, "batch pos n_heads d_head"]) -> None:
        last = z[:, -1].double().sum(0)
        sums[layer] = sums[layer] + last if layer in sums else last

    points, layers = geometry.bridge.hook_dict, range(geometry.n_layers)
    model: Any = geometry.bridge.original_model
    with watched([(points[geometry.z_site(layer)], partial(add, layer)) for layer in layers]):
        for batch in batches(prompts, batch_size=batch_size, device=geometry.device):
            model(
                input_ids=batch.tokens,
                attention_mask=batch.seen,
                position_ids=batch.position,
                use_cache=False,
                **only_last(model, 1),
            )
    return torch.stack([sums[layer] for layer in layers]) / len(prompts)
