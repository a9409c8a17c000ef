"""What is estimated before the first step: the scale of the rows, and where b_dec starts."""

from collections.abc import Generator
from contextlib import closing, redirect_stderr
from io import StringIO

import torch
from jaxtyping import Float
from sae_lens.training.activation_scaler import ActivationScaler
from torch import Tensor

from interp.dictionaries.training.recipe import ESTIMATED, TrainingRecipe
from interp.dictionaries.training.rows import training_batches
from interp.dictionaries.training.source import RowSource


def estimated_scaler(
    recipe: TrainingRecipe, source: RowSource, *, device: str = "cpu"
) -> ActivationScaler:
    """The scaler of the input site by sae-lens's own estimate, over the first global batches."""
    scaler = ActivationScaler()
    settings = recipe.settings
    if settings.normalize_activations not in ESTIMATED:
        return scaler
    # sae-lens's bar of a second or two would stand in the way of ours.
    with closing(_rows(recipe, source, recipe.site, device)) as rows, redirect_stderr(StringIO()):
        if settings.normalize_activations == "covariance_whitening":
            scaler.estimate_whitening(recipe.d_in, rows, _n_batches(recipe))
        else:
            scaler.estimate_scaling_factor(recipe.d_in, rows, _n_batches(recipe))
    return scaler


def estimated_mean(
    recipe: TrainingRecipe, source: RowSource, scaler: ActivationScaler, *, device: str = "cpu"
) -> Float[Tensor, " d_out"]:
    """Mean of what is reconstructed, scaled as training will see it, over the first batches."""
    total = torch.zeros(recipe.d_out, dtype=torch.float64)
    n_rows = 0
    with closing(_rows(recipe, source, recipe.site_out or recipe.site, device)) as rows:
        for _ in range(_n_batches(recipe)):
            batch = scaler(next(rows)).double().cpu()
            total += batch.sum(0)
            n_rows += len(batch)
    return (total / n_rows).float()


def _n_batches(recipe: TrainingRecipe) -> int:
    """As many as asked for, of those that training sees, each row once."""
    settings, n_rows = recipe.settings, recipe.source.n_rows
    once = settings.n_steps if n_rows is None else -(-n_rows // settings.batch_size)
    return min(settings.n_batches_for_norm_estimate, settings.n_steps, once)


def _rows(
    recipe: TrainingRecipe, source: RowSource, site: str, device: str
) -> Generator[Float[Tensor, "batch d"], None, None]:
    batch_size = recipe.settings.batch_size
    batches = training_batches(source, batch_size=batch_size, device=device, sites=[site])
    with closing(batches):
        for batch in batches:
            yield batch.rows[site]
