"""TopK: the k largest pre-activations of each row (Gao et al. 2024, arXiv 2406.04093)."""

from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from typing_extensions import override

from interp.dictionaries.architectures.architecture import Architecture
from interp.dictionaries.architectures.sparse_pass import (
    auxiliary_loss,
    goes_sparse,
    reconstruct,
    squared_error,
    step_output,
)
from interp.dictionaries.sparse.selection import PerRow


class SparseTopK(TopKTrainingSAE):
    """sae-lens's TopKTrainingSAE with the sparse training pass."""

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        x = step_input.sae_in
        if not goes_sparse(self, x):
            return super().training_forward_pass(step_input)
        made = reconstruct(
            self,
            x,
            PerRow(self.cfg.k),
            dead_mask=step_input.dead_neuron_mask,
            d_target=x.shape[-1],
        )
        out = made.nested[-1]
        losses = {
            "mse_loss": squared_error(out, x),
            "auxiliary_reconstruction_loss": auxiliary_loss(self, made, out, x),
        }
        return step_output(made, out=out, target=x, losses=losses)


ARCHITECTURE = Architecture(
    name="topk",
    config_class=TopKTrainingSAEConfig,
    training_class=SparseTopK,
    note="the k largest of each row; saved as topk",
)
