"""BatchTopK: the k * batch largest activations of a batch (arXiv 2412.06410)."""

from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
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


class SparseBatchTopK(BatchTopKTrainingSAE):
    """sae-lens's BatchTopKTrainingSAE with the sparse training pass, over `ranks`' whole batch."""

    ranks: Ranks = ONE_PROCESS

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        x = step_input.sae_in
        if not goes_sparse(self, x):
            return super().training_forward_pass(step_input)
        made = reconstruct(
            self,
            x,
            OverBatch(self.cfg.k, self.ranks),
            dead_mask=step_input.dead_neuron_mask,
            d_target=x.shape[-1],
        )
        out = made.nested[-1]
        losses = {
            "mse_loss": squared_error(out, x),
            "auxiliary_reconstruction_loss": auxiliary_loss(self, made, out, x),
        }
        output = step_output(made, out=out, target=x, losses=losses)
        follow_threshold(self, made.found.scaled, self.ranks)
        output.metrics["topk_threshold"] = self.topk_threshold
        return output


ARCHITECTURE = Architecture(
    name="batchtopk",
    config_class=BatchTopKTrainingSAEConfig,
    training_class=SparseBatchTopK,
    note="the k * batch largest activations of a batch; saved as jumprelu",
)
