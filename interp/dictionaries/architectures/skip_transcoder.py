"""A transcoder with a linear path beside its features (Paulo, Shabalin and Belrose 2025)."""

from dataclasses import dataclass

import torch
from sae_lens.registry import register_sae_training_class
from sae_lens.saes.sae import SAEConfig
from sae_lens.saes.transcoder import JumpReLUSkipTranscoderConfig
from torch import Tensor, nn
from typing_extensions import override

from interp.dictionaries.architectures.architecture import Architecture
from interp.dictionaries.architectures.transcoder import (
    TranscoderTraining,
    TranscoderTrainingConfig,
)


@dataclass
class SkipTranscoderTrainingConfig(TranscoderTrainingConfig):
    """The options of a transcoder."""

    @override
    @classmethod
    def architecture(cls) -> str:
        return "skip_transcoder"

    @override
    def get_inference_config_class(self) -> type[SAEConfig]:
        return JumpReLUSkipTranscoderConfig


class SkipTranscoderTraining(TranscoderTraining):
    """A transcoder whose output is its features' plus `W_skip x_in`; W_skip starts at zero.

    Saved as sae-lens's `jumprelu_skip_transcoder`. arXiv 2501.18823.
    """

    cfg: SkipTranscoderTrainingConfig  # type: ignore[assignment]

    @override
    def initialize_weights(self) -> None:
        super().initialize_weights()
        shape = (self.cfg.d_out, self.cfg.d_in)
        self.W_skip = nn.Parameter(torch.zeros(shape, dtype=self.dtype, device=self.device))

    @override
    def skip(self, x_in: Tensor) -> Tensor:
        return x_in.to(self.dtype) @ self.W_skip.T


ARCHITECTURE = Architecture(
    name="skip_transcoder",
    config_class=SkipTranscoderTrainingConfig,
    training_class=SkipTranscoderTraining,
    reads_two_sites=True,
    note="a transcoder with a linear path beside it; saved as jumprelu_skip_transcoder",
)
register_sae_training_class("skip_transcoder", SkipTranscoderTraining, SkipTranscoderTrainingConfig)
