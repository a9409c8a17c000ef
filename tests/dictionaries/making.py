"""Small dictionaries of every architecture, with weights that make some features fire."""

from typing import Any

import torch
from sae_lens import SAE, TrainingSAE
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from torch import Tensor

import interp.dictionaries.selecting  # noqa: F401  # registers its architectures

D_IN, D_OUT, D_SAE = 6, 5, 24
_OPTIONS: dict[str, dict[str, Any]] = {
    "temporal": {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": 3},
    "matryoshka_batchtopk": {"k": 4, "matryoshka_widths": [8, D_SAE]},
    "matching_pursuit": {"max_iterations": 4},
}


def options(architecture: str, *, d_out: int = D_OUT) -> dict[str, Any]:
    """What the config of an architecture needs beside its defaults."""
    given: dict[str, Any] = {"d_in": D_IN, "d_sae": D_SAE, **_OPTIONS.get(architecture, {})}
    if "topk" in architecture or "groupmax" in architecture:
        given.setdefault("k", 4)
    if "transcoder" in architecture:
        given |= {"d_out": d_out, "apply_b_dec_to_input": False}
    return given


def made(architecture: str, *, seed: int = 0, d_out: int = D_OUT, **more: Any) -> SAE[Any]:
    """A dictionary to use, its weights from `seed`."""
    kind, config = SAE_CLASS_REGISTRY[architecture]
    return drawn(kind(config(**{**options(architecture, d_out=d_out), **more})), seed)


def in_training(architecture: str, *, seed: int = 0) -> TrainingSAE[Any]:
    """A dictionary to train, its weights from `seed`."""
    kind, config = SAE_TRAINING_CLASS_REGISTRY[architecture]
    given = options(architecture)
    if architecture == "matching_pursuit":
        given["decoder_init_norm"] = 1.0
    sae = drawn(kind(config(**given)), seed)
    assert isinstance(sae, TrainingSAE)
    return sae


def drawn(sae: Any, seed: int) -> Any:
    """The same dictionary with weights from `seed`; thresholds are not below zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            fresh = torch.randn(parameter.shape, generator=generator) * 0.4
            parameter.copy_(fresh.abs() if "threshold" in name else fresh)
    return sae


def rows(n: int = 32, *, seed: int = 1) -> Tensor:
    """Inputs, with a position axis for the architectures that want one."""
    return torch.randn((n, 4, D_IN), generator=torch.Generator().manual_seed(seed))
