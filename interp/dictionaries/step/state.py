"""The state of a training step as tensors and numbers, so that no pickle is needed to save it."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from interp.results.errors import CorruptFile

if TYPE_CHECKING:
    from interp.dictionaries.step.train_step import TrainStep

_COUNTERS = ("act_freq_scores", "n_forward_passes_since_fired")
_NUMBERS = ("n_steps", "n_samples", "n_frac_active_samples")
_REQUIRED = (*_NUMBERS, "coefficients", "lr_scheduler", "lrs", "optimizer_tensors")


class TrainState(NamedTuple):
    """What safetensors and JSON can hold: copies, not views."""

    tensors: dict[str, Tensor]
    """`sae.NAME`, `adam.NAME.exp_avg`, ... and the counters."""
    numbers: dict[str, Any]
    """JSON: counts of steps and samples, the schedules."""


def pack(step: "TrainStep") -> TrainState:
    """The state of `step`."""
    tensors = {name: getattr(step, name) for name in _COUNTERS}
    tensors |= {f"sae.{name}": tensor for name, tensor in step.sae.state_dict().items()}
    for name, parameter in step.sae.named_parameters():
        for key, value in step.adam.optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{name}.{key}"] = value
    numbers: dict[str, Any] = {name: getattr(step, name) for name in _NUMBERS}
    numbers["optimizer_tensors"] = sorted(name for name in tensors if name.startswith("adam."))
    numbers["lr_scheduler"] = step.lr_scheduler.state_dict()
    numbers["lrs"] = [group["lr"] for group in step.adam.optimizer.param_groups]
    numbers["coefficients"] = {name: c.state_dict() for name, c in step.coefficients.items()}
    copies = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
    return TrainState(copies, numbers)


def unpack(step: "TrainStep", state: TrainState) -> None:
    """Put `state` into `step`, after checking that it fits."""
    _check(step, state)
    tensors, numbers = state
    with torch.no_grad():
        for name, tensor in step.sae.state_dict().items():
            tensor.copy_(tensors[f"sae.{name}"])
    for name in _COUNTERS:
        getattr(step, name).copy_(tensors[name])
    for name in _NUMBERS:
        setattr(step, name, numbers[name])
    for name, parameter in step.sae.named_parameters():
        step.adam.optimizer.state[parameter] = _adam_state(tensors, name, parameter)
    for group, lr in zip(step.adam.optimizer.param_groups, numbers["lrs"], strict=True):
        group["lr"] = lr
    step.lr_scheduler.load_state_dict(numbers["lr_scheduler"])
    for name, coefficient in step.coefficients.items():
        coefficient.load_state_dict(numbers["coefficients"][name])


def _adam_state(tensors: dict[str, Tensor], name: str, parameter: Tensor) -> dict[str, Tensor]:
    start = f"adam.{name}."
    found = {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
    return {
        key: t.to(parameter.device).clone(memory_format=torch.preserve_format)
        for key, t in found.items()
    }


def _check(step: "TrainStep", state: TrainState) -> None:
    expected = {f"sae.{name}": t.shape for name, t in step.sae.state_dict().items()}
    expected |= {name: getattr(step, name).shape for name in _COUNTERS}
    for name, shape in expected.items():
        found = state.tensors.get(name)
        if found is None or found.shape != shape:
            has = "is missing" if found is None else f"has shape {tuple(found.shape)}"
            raise CorruptFile(
                f"the training state does not fit: {name} {has}, expected {tuple(shape)}; "
                "resume with the settings it was written with."
            )
    for name, tensor in state.tensors.items():
        if not torch.isfinite(tensor).all():
            raise CorruptFile(f"the training state holds NaN or infinity in {name}: start anew.")
    missing = [name for name in _REQUIRED if name not in state.numbers]
    missing += set(state.numbers.get("optimizer_tensors", ())) - set(state.tensors)
    if missing:
        raise CorruptFile(f"the training state lacks {', '.join(sorted(missing))}: start anew.")
