"""TrainStep: forward, backward, clipping, Adam and the counts of what fired, as one object."""

import contextlib
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainCoefficientConfig, TrainingSAE, TrainStepInput, TrainStepOutput
from sae_lens.training.optim import CoefficientScheduler, get_lr_scheduler
from torch import Tensor

from interp.dictionaries.architectures import firing
from interp.dictionaries.architectures.sparse_pass import refuse_local_selection
from interp.dictionaries.sparse.ranks import ONE_PROCESS, Ranks
from interp.dictionaries.step.optimizer import ClippedAdam
from interp.dictionaries.step.state import TrainState, pack, unpack


class StepResult(NamedTuple):
    """What one step found, before its update; tensors, so that nothing waits for a device."""

    losses: dict[str, Tensor]
    """`loss` (what was differentiated) and each of its parts, over the global batch."""
    n_active: Tensor
    """Features on, on average over the global batch's rows (L0)."""
    n_dead: Tensor
    """Features that have not fired for more than `dead_feature_window` steps, after this step."""
    gradient_norm: Tensor
    """Before clipping."""
    output: TrainStepOutput


class TrainStep:
    """The optimizer step of sae-lens's `SAETrainer._train_step`, for every architecture.

    Adam is fused and clipping happens inside it; otherwise the order and meaning are sae-lens's:
    the dead are those that the steps *before* this one left unfired, gradients are clipped to a
    global norm of 1, and learning rate and coefficients move after the update. With `ranks` of
    several processes the loss is the mean over the global batch, and selection, firing counts and
    the clipped norm are global; each process passes its own rows.

    Batches come scaled (`normalize_activations="expected_average_only_in"` is the caller's). Raises
    Unsupported where `ranks` are several and the dictionary can only select within a process.
    """

    def __init__(
        self, sae: TrainingSAE[Any], config: SAETrainerConfig, *, ranks: Ranks = ONE_PROCESS
    ) -> None:
        refuse_local_selection(sae, ranks)
        self.sae, self.config, self.ranks = sae, config, ranks
        if hasattr(sae, "ranks"):
            sae.ranks = ranks  # type: ignore[assignment]
        d_sae, device = sae.cfg.d_sae, sae.W_dec.device
        self.n_steps = 0
        self.n_samples = 0
        self.act_freq_scores = torch.zeros(d_sae, device=device)
        self.n_frac_active_samples = 0
        self.n_forward_passes_since_fired = torch.zeros(d_sae, device=device)
        self.adam = ClippedAdam(
            sae.parameters(), lr=config.lr, betas=(config.adam_beta1, config.adam_beta2)
        )
        lr_end = config.lr / 10 if config.lr_end is None else config.lr_end
        self.lr_scheduler = get_lr_scheduler(
            config.lr_scheduler_name,
            lr=config.lr,
            optimizer=self.adam.optimizer,
            warm_up_steps=config.lr_warm_up_steps,
            decay_steps=config.lr_decay_steps,
            training_steps=config.total_training_steps,
            lr_end=lr_end,
            num_cycles=config.n_restart_cycles,
        )
        self.coefficients = {
            name: _coefficient_scheduler(value) for name, value in sae.get_coefficients().items()
        }

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.adam.optimizer.param_groups[0]["lr"]

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Features that have not fired for more than `dead_feature_window` steps."""
        return self.n_forward_passes_since_fired > self.config.dead_feature_window

    @property
    def density(self) -> Float[Tensor, " d_sae"]:
        """Share of rows on which each feature fired, in the current sampling window."""
        return self.act_freq_scores / max(self.n_frac_active_samples, 1)

    def step(self, batch: Float[Tensor, "batch d_batch"]) -> StepResult:
        """Learn from one batch."""
        self._begin_window()
        self.sae.train()
        batch = batch.to(self.sae.W_dec.device)
        with self._autocast():
            output = self.sae.training_forward_pass(
                step_input=TrainStepInput(
                    sae_in=batch,
                    dead_neuron_mask=self.dead,
                    coefficients={name: c.value for name, c in self.coefficients.items()},
                    n_training_steps=self.n_steps,
                    is_logging_step=False,
                )
            )
        n_rows = self.ranks.n_rows_global(batch.shape[0])
        share = batch.shape[0] / n_rows
        with torch.no_grad():
            counts = self.ranks.all_sum(firing.counts(output.feature_acts))
            self._count(counts, n_rows)
        output.loss.backward()
        norm = self.adam.step(self.ranks, share)
        self.lr_scheduler.step()
        for coefficient in self.coefficients.values():
            coefficient.step()
        self.n_steps += 1
        self.n_samples += n_rows
        return StepResult(
            losses=self._global_losses(output, share),
            n_active=counts.sum() / n_rows,
            n_dead=self.dead.sum(),
            gradient_norm=norm,
            output=output,
        )

    def _begin_window(self) -> None:
        if self.n_steps > 0 and self.n_steps % self.config.feature_sampling_window == 0:
            self.act_freq_scores.zero_()
            self.n_frac_active_samples = 0

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if not self.config.autocast:
            return contextlib.nullcontext()
        return torch.autocast(self.sae.W_dec.device.type, dtype=torch.bfloat16)

    def _count(self, counts: Float[Tensor, " d_sae"], n_rows: int) -> None:
        self.n_forward_passes_since_fired += 1
        self.n_forward_passes_since_fired[counts > 0] = 0
        self.act_freq_scores += counts
        self.n_frac_active_samples += n_rows

    def _global_losses(self, output: TrainStepOutput, share: float) -> dict[str, Tensor]:
        losses = {"loss": output.loss, **output.losses}
        return {
            name: self.ranks.all_sum(torch.as_tensor(loss).detach() * share)
            for name, loss in losses.items()
        }

    def state_dict(self) -> TrainState:
        """Everything the next step depends on, the dictionary's own weights included."""
        return pack(self)

    def load_state_dict(self, state: TrainState) -> None:
        """Go on where `state_dict` was taken; the dictionary and config must be of the same kind.

        Raises CorruptFile where a tensor is missing, of another shape or not finite.
        """
        unpack(self, state)


def _coefficient_scheduler(value: TrainCoefficientConfig | float) -> CoefficientScheduler:
    if not isinstance(value, TrainCoefficientConfig):
        value = TrainCoefficientConfig(value=value, warm_up_steps=0)
    return CoefficientScheduler(warm_up_steps=value.warm_up_steps, final_value=value.value)
