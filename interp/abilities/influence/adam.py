"""Adam's step with one example's gradient: what the example would do to a model in training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float32
from safetensors.torch import load_file
from torch import Tensor, nn

from interp.models.weight_files import read_layout
from interp.results.errors import BadInput, Mismatch

Direction = Callable[[str, Float32[Tensor, "..."]], Float32[Tensor, "..."]]
"""The step that a gradient of the tensor of this name leads to."""


@dataclass(frozen=True, kw_only=True)
class AdamForm:
    """Settings of the step; the defaults are those of LESS's code (arXiv 2402.04333)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    adam_epsilon: Literal["inside", "outside"] = "inside"
    """Inside the root it swamps v far below epsilon, and the step is momentum's; Adam itself
    (1412.6980) has it outside."""
    bias_correction: bool = False
    """Divide m by 1 - beta1^t and v by 1 - beta2^t, t being the step that the example would be."""


class Moments(NamedTuple):
    """An optimizer's state: running means of gradients and of their squares, by tensor name."""

    mean: dict[str, Float32[Tensor, "..."]]
    square: dict[str, Float32[Tensor, "..."]]
    steps: int
    """Updates made so far."""


def adam_direction(moments: Moments, form: AdamForm) -> Direction:
    """m' / sqrt(v' + eps), or m' / (sqrt(v') + eps), with m' and v' one update on."""

    def step(name: str, gradient: Tensor) -> Tensor:
        m = form.beta1 * moments.mean[name] + (1 - form.beta1) * gradient
        v = form.beta2 * moments.square[name] + (1 - form.beta2) * gradient.square()
        if form.bias_correction:
            m = m / (1 - form.beta1 ** (moments.steps + 1))
            v = v / (1 - form.beta2 ** (moments.steps + 1))
        if form.adam_epsilon == "inside":
            return m / (v + form.epsilon).sqrt()
        return m / (v.sqrt() + form.epsilon)

    return step


def moments_of(optimizer: torch.optim.Optimizer, tensors: dict[str, nn.Parameter]) -> Moments:
    """The state of an Adam optimizer for the named tensors, as it stands."""
    states = {name: optimizer.state[tensor] for name, tensor in tensors.items()}
    return Moments(
        mean={name: state["exp_avg"].float() for name, state in states.items()},
        square={name: state["exp_avg_sq"].float() for name, state in states.items()},
        steps=int(max(float(state["step"]) for state in states.values())),
    )


def read_moments(path: Path, tensors: dict[str, nn.Parameter]) -> Moments:
    """An optimizer's state from a safetensors file.

    It holds `exp_avg.NAME` and `exp_avg_sq.NAME` for every named tensor, and `step`.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected safetensors with exp_avg and exp_avg_sq")
    held = set(read_layout(path))
    wanted = [f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq") for name in tensors]
    missing = [name for name in (*wanted, "step") if name not in held]
    if missing:
        raise BadInput(f"{path} lacks {missing[0]!r}: save exp_avg.NAME, exp_avg_sq.NAME and step")
    state = load_file(path)
    for name, tensor in tensors.items():
        if state[f"exp_avg.{name}"].shape != tensor.shape:
            raise Mismatch(f"{path} holds another shape of {name!r} than the model")

    def of(kind: str) -> dict[str, Tensor]:
        return {n: state[f"{kind}.{n}"].to(t.device, torch.float32) for n, t in tensors.items()}

    return Moments(of("exp_avg"), of("exp_avg_sq"), int(state["step"].max()))
