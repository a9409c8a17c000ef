"""A sae-lens object from a config and tensors that came from a stranger, each checked first."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Shaped
from sae_lens import SAE
from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from sae_lens.util import str_to_dtype
from torch import Tensor

import interp.dictionaries.selecting  # noqa: F401  # registers its architectures
from interp.results.errors import CorruptFile, Unsupported

_GARBLED = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)


def restored(
    config: Mapping[str, Any],
    state: Mapping[str, Shaped[Tensor, "..."]],
    *,
    source: str,
    device: str = "cpu",
) -> SAE[Any]:
    """The dictionary of a config and its tensors, in the config's number format, frozen.

    Raises Unsupported for an architecture that sae-lens does not know, CorruptFile for a config it
    cannot use, for tensors of other names or shapes than the config's, and for NaN or infinity;
    each names `source`.
    """
    sae = _without_weights(config, source)
    check_tensors({name: t.shape for name, t in sae.state_dict().items()}, state, source)
    check_finite(state, source)
    sae.load_state_dict(dict(state), assign=True)
    sae = sae.to(dtype=str_to_dtype(sae.cfg.dtype), device=device)
    sae.eval().requires_grad_(False)
    return sae


def check_finite(state: Mapping[str, Shaped[Tensor, "..."]], source: str) -> None:
    """CorruptFile naming the first tensor that holds NaN or infinity."""
    for name, tensor in state.items():
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise CorruptFile(
                f"{source}: {wrong} of the {tensor.numel()} entries of {name} are NaN or infinite; "
                "train it again, or fetch it again"
            )


def check_tensors(
    expected: Mapping[str, torch.Size], state: Mapping[str, Shaped[Tensor, "..."]], source: str
) -> None:
    """CorruptFile unless `state` holds the expected tensors, no other, at their shapes."""
    missing, extra = expected.keys() - state.keys(), state.keys() - expected.keys()
    if missing or extra:
        raise CorruptFile(
            f"{source}: its architecture has the tensors {', '.join(sorted(expected))}; it lacks "
            f"{', '.join(sorted(missing)) or 'none'}, and has {', '.join(sorted(extra)) or 'none'} "
            "beside them"
        )
    for name, shape in expected.items():
        if state[name].shape != shape:
            raise CorruptFile(
                f"{source}: {name} is {_by(state[name].shape)}, its config says {_by(shape)}"
            )


@contextmanager
def usable_config(source: str) -> Iterator[None]:
    """CorruptFile naming `source` for what sae-lens raises over a config inside."""
    try:
        yield
    except _GARBLED as error:
        raise CorruptFile(f"the config of {source} cannot be used: {_line(error)}") from error


@contextmanager
def quiet_construction() -> Iterator[None]:
    """No warning that a model is best loaded with certain options: `info` prints them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*This SAE has non-empty model_from_pretr")
        yield


def _without_weights(config: Mapping[str, Any], source: str) -> SAE[Any]:
    architecture = config.get("architecture", "standard")
    if not isinstance(architecture, str) or architecture not in SAE_CLASS_REGISTRY:
        raise Unsupported(_unknown(str(architecture), source))
    with usable_config(source), quiet_construction():
        given = handle_config_defaulting(dict(config))
        kind, config_class = SAE_CLASS_REGISTRY[given["architecture"]]
        # Weights that are never drawn: the shapes are compared before anything is allocated.
        cfg = config_class.from_dict({**given, "device": "meta"})
        k = getattr(cfg, "k", None)
        if k is not None and not 0 < k <= cfg.d_sae:
            raise ValueError(f"k is {k} of {cfg.d_sae} features")
        return kind(cfg)


def _unknown(architecture: str, source: str) -> str:
    known = ", ".join(sorted(SAE_CLASS_REGISTRY))
    if architecture in SAE_TRAINING_CLASS_REGISTRY:
        return (
            f"{source} is a {architecture!r} in training, not one to use: save it with "
            "save_dictionary (sae-lens: save_inference_model)"
        )
    return f"{source} is of the architecture {architecture!r}: known are {known}"


def _line(error: Exception) -> str:
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"it lacks {said}" if isinstance(error, KeyError) else said


def _by(shape: torch.Size) -> str:
    return " by ".join(map(str, shape)) or "a single number"
