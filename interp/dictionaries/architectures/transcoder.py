"""A transcoder in training: what one site writes, from the features of what another read."""

import math
from dataclasses import dataclass

import torch
from sae_lens.registry import register_sae_training_class
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import SAEConfig, TrainStepInput, TrainStepOutput
from sae_lens.saes.transcoder import JumpReLUTranscoderConfig
from torch import Tensor, nn
from typing_extensions import override

from interp.dictionaries.architectures.architecture import Architecture
from interp.dictionaries.architectures.batch_threshold import follow_threshold
from interp.dictionaries.architectures.sparse_pass import (
    auxiliary_loss,
    goes_sparse,
    reconstruct,
    squared_error,
    step_output,
)
from interp.dictionaries.sparse.ranks import ONE_PROCESS, Ranks
from interp.dictionaries.sparse.selection import OverBatch

_NORMALIZATIONS = ("none", "expected_average_only_in")


@dataclass
class TranscoderTrainingConfig(BatchTopKTrainingSAEConfig):
    """BatchTopK options, and the width of the site that is reconstructed."""

    d_out: int = 0
    """Width of the site that is written."""
    apply_b_dec_to_input: bool = False

    @override
    @classmethod
    def architecture(cls) -> str:
        return "transcoder"

    @override
    def get_inference_config_class(self) -> type[SAEConfig]:
        return JumpReLUTranscoderConfig

    @override
    def __post_init__(self) -> None:
        if self.d_out <= 0:
            raise ValueError("a transcoder needs d_out, the width of the site it writes")
        if self.apply_b_dec_to_input:
            raise ValueError("a transcoder's b_dec belongs to its output: it cannot be subtracted")
        if self.normalize_activations not in _NORMALIZATIONS:
            raise ValueError(f"normalize_activations must be one of {', '.join(_NORMALIZATIONS)}")
        super().__post_init__()


class TranscoderTraining(BatchTopKTrainingSAE):
    """BatchTopK features of `x_in` that reconstruct `x_out`; batches are `[x_in | x_out]`.

    Saved as sae-lens's `jumprelu_transcoder`, the threshold being the mean smallest kept
    activation.
    """

    cfg: TranscoderTrainingConfig  # type: ignore[assignment]
    ranks: Ranks = ONE_PROCESS

    @override
    def initialize_weights(self) -> None:
        super().initialize_weights()
        cfg, kind = self.cfg, {"dtype": self.dtype, "device": self.device}
        rows = torch.randn(cfg.d_sae, cfg.d_out, **kind)
        norm = 0.1 if cfg.decoder_init_norm is None else cfg.decoder_init_norm
        self.W_dec = nn.Parameter(rows * (norm / rows.norm(dim=-1, keepdim=True)))
        self.W_enc = nn.Parameter(torch.randn(cfg.d_in, cfg.d_sae, **kind) / math.sqrt(cfg.d_in))
        self.b_dec = nn.Parameter(torch.zeros(cfg.d_out, **kind))

    @override
    def process_sae_in(self, sae_in: Tensor) -> Tensor:
        return self.hook_sae_input(sae_in.to(self.dtype))

    def skip(self, x_in: Tensor) -> Tensor:
        """What reaches the output past the features: nothing, broadcast."""
        return x_in.new_zeros(())

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)) + self.skip(x)

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        x_in, x_out = step_input.sae_in.split([self.cfg.d_in, self.cfg.d_out], dim=-1)
        if not goes_sparse(self, x_in):
            return self._dense_pass(x_in, x_out, step_input)
        made = reconstruct(
            self,
            x_in,
            OverBatch(self.cfg.k, self.ranks),
            dead_mask=step_input.dead_neuron_mask,
            d_target=self.cfg.d_out,
        )
        out = made.nested[-1] + self.skip(x_in)
        losses = {
            "mse_loss": squared_error(out, x_out),
            "auxiliary_reconstruction_loss": auxiliary_loss(self, made, out, x_out),
        }
        output = step_output(made, out=out, target=x_out, losses=losses)
        follow_threshold(self, made.found.scaled, self.ranks)
        output.metrics["topk_threshold"] = self.topk_threshold
        return output

    def _dense_pass(
        self, x_in: Tensor, x_out: Tensor, step_input: TrainStepInput
    ) -> TrainStepOutput:
        """The same pass through sae-lens's dense encode and decode."""
        acts, hidden_pre = self.encode_with_hidden_pre(x_in)
        out = self.decode(acts) + self.skip(x_in)
        losses = {
            "mse_loss": squared_error(out, x_out),
            "auxiliary_reconstruction_loss": self.calculate_topk_aux_loss(
                sae_in=x_out,
                sae_out=out,
                hidden_pre=hidden_pre,
                dead_neuron_mask=step_input.dead_neuron_mask,
            ),
        }
        follow_threshold(self, acts, self.ranks)
        return TrainStepOutput(
            sae_in=x_out,
            sae_out=out,
            feature_acts=acts,
            hidden_pre=hidden_pre,
            loss=torch.stack(list(losses.values())).sum(),
            losses=losses,
            metrics={"topk_threshold": self.topk_threshold},
        )


ARCHITECTURE = Architecture(
    name="transcoder",
    config_class=TranscoderTrainingConfig,
    training_class=TranscoderTraining,
    reads_two_sites=True,
    note="the k * batch largest activations of a batch; saved as jumprelu_transcoder",
)

register_sae_training_class("transcoder", TranscoderTraining, TranscoderTrainingConfig)
