"""Learner: one dictionary in training, its step, its scaler and what its log says."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from sae_lens import __version__ as sae_lens_version
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.sae import TrainingSAE
from sae_lens.training.activation_scaler import ActivationScaler, ActivationWhitening
from torch import Tensor

from interp.dictionaries.architectures import make
from interp.dictionaries.architectures.batch_threshold import n_above_threshold
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.sparse.ranks import ONE_PROCESS, Ranks
from interp.dictionaries.step import StepResult, TrainStep
from interp.dictionaries.step.state import TrainState
from interp.dictionaries.training.measures import explained_variance
from interp.dictionaries.training.recipe import TrainingRecipe
from interp.results.errors import CorruptFile
from interp.results.provenance import Provenance

_WHITENING = ("mean", "matrix", "inverse_matrix")


class Learner:
    """One dictionary that learns from the rows of its sites."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        *,
        device: str = "cpu",
        ranks: Ranks = ONE_PROCESS,
    ) -> None:
        self.recipe = recipe
        self.scaler = ActivationScaler()
        self._ranks = ranks
        two_sites = {"d_out": recipe.d_out} if recipe.site_out is not None else {}
        self.sae: TrainingSAE[Any] = make(
            recipe.architecture,
            d_in=recipe.d_in,
            d_sae=recipe.d_sae,
            seed=recipe.settings.seed,
            device=device,
            **two_sites,
            **recipe.options,
        )
        self._train_step = TrainStep(self.sae, trainer_config(recipe, device), ranks=ranks)

    def start_at(
        self, scaler: ActivationScaler, b_dec: Float[Tensor, " d_out"] | None = None
    ) -> None:
        """Set what was estimated before the first step."""
        self.scaler = scaler
        if b_dec is not None:
            with torch.no_grad():
                self.sae.b_dec.copy_(b_dec)

    def learn(self, rows: Mapping[str, Float[Tensor, "batch _d"]], *, log: bool) -> dict[str, Any]:
        """Take one step on this rank's rows; with `log` what there is to say of it, else nothing.

        Both sites of a transcoder are scaled by the one factor of its input, as sae-lens's fold
        of that factor into the weights supposes.
        """
        step = self._train_step
        lr, coefficients = step.lr, {name: c.value for name, c in step.coefficients.items()}
        batch = torch.cat([self.scaler(rows[site]) for site in self.recipe.sites], dim=-1)
        result = step.step(batch)
        return self._said(batch, result, lr, coefficients) if log else {}

    def _said(
        self, batch: Tensor, result: StepResult, lr: float, coefficients: dict[str, float]
    ) -> dict[str, Any]:
        output = result.output
        said: dict[str, Any] = {"step": self._train_step.n_steps}
        said["n_tokens"] = self._train_step.n_samples
        said |= {name: float(loss) for name, loss in result.losses.items()}
        said["l0"] = float(result.n_active)
        if isinstance(self.sae, BatchTopKTrainingSAE):
            # What is saved has a threshold where training chooses over the batch.
            read = batch[:, : self.recipe.d_in]
            said["l0_saved"] = float(n_above_threshold(self.sae, read, self._ranks))
        said["explained_variance"] = explained_variance(
            output.sae_in, output.sae_out.detach(), self._ranks
        )
        said["n_dead"] = int(result.n_dead)
        said["gradient_norm"] = float(result.gradient_norm)
        said["lr"] = lr
        said |= coefficients
        return said | {name: _number(value) for name, value in output.metrics.items()}

    def state(self) -> TrainState:
        """Everything its next step depends on, as tensors and JSON."""
        tensors, numbers = self._train_step.state_dict()
        if self.scaler.whitening is not None:
            for name in _WHITENING:
                tensors[f"scaler.{name}"] = getattr(self.scaler.whitening, name).contiguous()
        return TrainState(tensors, {**numbers, "scaling_factor": self.scaler.scaling_factor})

    def restore(self, state: TrainState) -> None:
        """Go on where `state` was taken; CorruptFile where it does not fit."""
        tensors, numbers = dict(state.tensors), dict(state.numbers)
        held = {name: tensors.pop(f"scaler.{name}", None) for name in _WHITENING}
        try:
            factor = numbers.pop("scaling_factor")
            self._train_step.load_state_dict(TrainState(tensors, numbers))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"the state of {self.recipe.name} lacks {error}") from error
        whitening = ActivationWhitening(**held) if None not in held.values() else None  # type: ignore[arg-type]
        self.scaler = ActivationScaler(factor, whitening)

    def finish(self, command: str) -> TrainingSAE[Any]:
        """The dictionary for rows as they are: normalisation folded in, its card written."""
        step, metadata = self._train_step, self.sae.cfg.metadata
        metadata.l0 = float(step.density.sum())
        metadata.num_dead_features = int(step.dead.sum())
        metadata.sae_lens_training_version = sae_lens_version
        if self.scaler.scaling_factor is not None:
            self.sae.fold_activation_norm_scaling_factor(self.scaler.scaling_factor)
        if (whitening := self.scaler.whitening) is not None:
            self.sae.fold_activation_whitening(
                mean=whitening.mean,
                whitening_matrix=whitening.matrix,
                unwhitening_matrix=whitening.inverse_matrix,
            )
        _card(self.recipe, self.sae, command).write_to(self.sae)
        return self.sae


def trainer_config(recipe: TrainingRecipe, device: str) -> SAETrainerConfig:
    """The recipe in sae-lens's own terms."""
    settings = recipe.settings
    return SAETrainerConfig(
        total_training_samples=settings.n_tokens,
        train_batch_size_samples=settings.batch_size,
        lr=settings.lr,
        lr_end=settings.lr_end,
        lr_scheduler_name=settings.lr_scheduler_name,
        lr_warm_up_steps=settings.lr_warm_up_steps,
        lr_decay_steps=settings.lr_decay_steps,
        n_restart_cycles=settings.n_restart_cycles,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        dead_feature_window=settings.dead_feature_window,
        device=device,
    )


def _card(recipe: TrainingRecipe, sae: TrainingSAE[Any], command: str) -> DictionaryCard:
    source = recipe.source
    return replace(
        DictionaryCard.of(sae),
        site=recipe.site,
        site_out=recipe.site_out,
        model=source.model,
        model_hash=source.model_hash,
        corpus_hash=source.corpus_hash,
        store_identity=source.identity,
        store_rows=source.n_rows,
        n_training_tokens=recipe.settings.n_tokens,
        seed=recipe.settings.seed,
        provenance=Provenance.collect(
            command,
            model_hash=source.model_hash,
            corpus_hash=source.corpus_hash,
            seed=recipe.settings.seed,
            settings=recipe.to_json(),
        ),
    )


def _number(value: Any) -> float | int:
    value = value() if callable(value) else value
    return value.item() if isinstance(value, Tensor) else value
