"""Matryoshka BatchTopK: nested widths that must each reconstruct alone (arXiv 2503.17547)."""

from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
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


class SparseMatryoshka(MatryoshkaBatchTopKTrainingSAE):
    """sae-lens's MatryoshkaBatchTopKTrainingSAE with the sparse training pass.

    All nested reconstructions come from one gather: each level's sum is added to the one below.
    `use_matryoshka_aux_loss` goes sae-lens's dense way.
    """

    ranks: Ranks = ONE_PROCESS

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        x, widths = step_input.sae_in, self.cfg.matryoshka_widths
        if not goes_sparse(self, x):
            return super().training_forward_pass(step_input)
        made = reconstruct(
            self,
            x,
            OverBatch(self.cfg.k, self.ranks),
            dead_mask=step_input.dead_neuron_mask,
            d_target=x.shape[-1],
            widths=widths,
        )
        *inner, out = made.nested
        losses = {
            "mse_loss": squared_error(out, x),
            "auxiliary_reconstruction_loss": auxiliary_loss(self, made, out, x),
        }
        for width, part in zip(widths[:-1], inner, strict=True):
            losses[f"inner_mse_loss_{width}"] = squared_error(part, x)
        output = step_output(made, out=out, target=x, losses=losses)
        follow_threshold(self, made.found.scaled, self.ranks)
        output.metrics["topk_threshold"] = self.topk_threshold
        return output


ARCHITECTURE = Architecture(
    name="matryoshka_batchtopk",
    config_class=MatryoshkaBatchTopKTrainingSAEConfig,
    training_class=SparseMatryoshka,
    note="batchtopk whose first features alone reconstruct too; saved as jumprelu",
)
