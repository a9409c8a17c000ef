"""Dictionaries that sae-lens has no class for: transcoders of the k largest, and group maxima.

Importing this registers them, so that sae-lens's own `SAE.load_from_disk` opens them as well.
`topk` keeps the k largest pre-activations of a row, `groupmax` the largest of each of k equal
groups of features; both keep what is positive of it. A skip transcoder adds a linear map of its
input (arXiv:2501.18823).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from sae_lens import (
    SkipTranscoder,
    SkipTranscoderConfig,
    StandardSAE,
    StandardSAEConfig,
    Transcoder,
    TranscoderConfig,
    register_sae_class,
)
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.topk_sae import TopK
from torch import Tensor, nn


class GroupMax(nn.Module):
    """The largest entry of each of `k` equal groups where it is positive, zero elsewhere."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; the last axis is cut into groups of neighbours."""
        groups = x.relu().unflatten(-1, (self.k, -1))
        largest = groups.max(dim=-1, keepdim=True)
        kept = torch.zeros_like(groups).scatter(-1, largest.indices, largest.values)
        return kept.flatten(-2)


@dataclass
class _ReadConfig:
    # sae-lens constructs a config that it reads with a mapping here, and replaces it afterwards.
    metadata: Any = field(default_factory=SAEMetadata)


@dataclass
class GroupMaxSAEConfig(_ReadConfig, StandardSAEConfig):
    """An autoencoder of `k` groups."""

    k: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_groups(self.d_sae, self.k)

    @classmethod
    def architecture(cls) -> str:
        """The name in a config."""
        return "groupmax"


@dataclass
class TopKTranscoderConfig(_ReadConfig, TranscoderConfig):
    """A transcoder of the `k` largest features."""

    k: int = 32

    @classmethod
    def architecture(cls) -> str:
        """The name in a config."""
        return "topk_transcoder"


@dataclass
class TopKSkipTranscoderConfig(_ReadConfig, SkipTranscoderConfig):
    """A transcoder of the `k` largest features beside a linear map."""

    k: int = 32

    @classmethod
    def architecture(cls) -> str:
        """The name in a config."""
        return "topk_skip_transcoder"


@dataclass
class GroupMaxTranscoderConfig(_ReadConfig, TranscoderConfig):
    """A transcoder of `k` groups."""

    k: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_groups(self.d_sae, self.k)

    @classmethod
    def architecture(cls) -> str:
        """The name in a config."""
        return "groupmax_transcoder"


@dataclass
class GroupMaxSkipTranscoderConfig(_ReadConfig, SkipTranscoderConfig):
    """A transcoder of `k` groups beside a linear map."""

    k: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_groups(self.d_sae, self.k)

    @classmethod
    def architecture(cls) -> str:
        """The name in a config."""
        return "groupmax_skip_transcoder"


class GroupMaxSAE(StandardSAE):
    """An autoencoder of k groups."""

    cfg: GroupMaxSAEConfig

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """The largest of each group."""
        return GroupMax(self.cfg.k)


class TopKTranscoder(Transcoder):
    """A transcoder of the k largest features."""

    cfg: TopKTranscoderConfig

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """The k largest."""
        return TopK(self.cfg.k)


class TopKSkipTranscoder(SkipTranscoder):
    """A transcoder of the k largest features beside a linear map."""

    cfg: TopKSkipTranscoderConfig

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """The k largest."""
        return TopK(self.cfg.k)


class GroupMaxTranscoder(Transcoder):
    """A transcoder of k groups."""

    cfg: GroupMaxTranscoderConfig

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """The largest of each group."""
        return GroupMax(self.cfg.k)


class GroupMaxSkipTranscoder(SkipTranscoder):
    """A transcoder of k groups beside a linear map."""

    cfg: GroupMaxSkipTranscoderConfig

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """The largest of each group."""
        return GroupMax(self.cfg.k)


def _check_groups(d_sae: int, k: int) -> None:
    if k < 1 or d_sae % k:
        raise ValueError(f"{d_sae} features are not {k} equal groups")


register_sae_class("groupmax", GroupMaxSAE, GroupMaxSAEConfig)
register_sae_class("topk_transcoder", TopKTranscoder, TopKTranscoderConfig)
register_sae_class("topk_skip_transcoder", TopKSkipTranscoder, TopKSkipTranscoderConfig)
register_sae_class("groupmax_transcoder", GroupMaxTranscoder, GroupMaxTranscoderConfig)
register_sae_class("groupmax_skip_transcoder", GroupMaxSkipTranscoder, GroupMaxSkipTranscoderConfig)
