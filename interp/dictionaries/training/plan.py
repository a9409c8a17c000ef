"""What a training will do, checked and counted before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.capture.loader import BUFFER_BYTES
from interp.capture.store import ActivationStore
from interp.dictionaries.training.grid import architecture_named, recipes, site_pairs
from interp.dictionaries.training.recipe import TrainingRecipe, TrainingSettings
from interp.dictionaries.training.source import RowSource, StoreSource, store_facts
from interp.results.errors import BadInput

_HELD_PER_WEIGHT = 4
"""The weight, its gradient and Adam's two moments."""
_HELD_PER_ACTIVATION = 3
"""Before and after the selection, and for the loss on dead features."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A run that can start: its rows, its recipes, and what they will take."""

    source: RowSource
    recipes: list[TrainingRecipe]
    settings: TrainingSettings

    @property
    def epochs(self) -> float | None:
        """How often each row comes; None where the source does not know how many it has."""
        n_rows = self.source.facts.n_rows
        return None if n_rows is None else self.settings.n_tokens / n_rows

    @property
    def memory_bytes(self) -> int:
        """About what training holds, the larger of its parts added up."""
        weights = sum(r.d_sae * (r.d_in + r.d_out) for r in self.recipes) * 4 * _HELD_PER_WEIGHT
        widest = max(recipe.d_sae for recipe in self.recipes)
        activations = self.settings.batch_size * widest * 4 * _HELD_PER_ACTIVATION
        return weights + activations + 2 * self._buffer_bytes

    @property
    def _buffer_bytes(self) -> int:
        n_rows = self.source.facts.n_rows
        asked = self.settings.buffer_bytes
        return (
            asked if n_rows is None else min(asked, n_rows * sum(self.source.widths.values()) * 4)
        )

    def summary(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        return {
            "dictionaries": [recipe.name for recipe in self.recipes],
            "n_steps": self.settings.n_steps,
            "n_tokens": self.settings.n_tokens,
            "rows": self.source.facts.n_rows,
            "epochs": self.epochs,
            "memory_bytes": self.memory_bytes,
        }


def training_settings(
    *,
    arch: str,
    n_tokens: int,
    batch_size: int = 4096,
    lr: float = 3e-4,
    lr_end: float | None = None,
    lr_schedule: str = "constant",
    lr_warm_up_steps: int = 0,
    lr_decay_steps: int = 0,
    n_restart_cycles: int = 1,
    adam_beta1: float = 0.9,
    adam_beta2: float = 0.999,
    normalize: str = "none",
    n_batches_for_norm_estimate: int = 1000,
    b_dec: str | None = None,
    dead_feature_window: int = 1000,
    seed: int = 0,
    buffer_bytes: int = BUFFER_BYTES,
    log_every: int = 50,
) -> TrainingSettings:
    """The settings of a run, sae-lens's defaults where nothing is said.

    `lr_end` is where a cosine ends, lr / 10 without it. `b_dec` starts at "zero" or at the "mean"
    of what is reconstructed; without it at the mean for transcoders, and at zero for the others.
    """
    if not 0 < batch_size <= n_tokens:
        raise BadInput(f"{n_tokens:,} tokens do not fill a batch of {batch_size:,}: ask for more")
    if lr_end is None:
        lr_end = lr if lr_schedule == "constant" else lr / 10
    return TrainingSettings(
        n_steps=n_tokens // batch_size,
        batch_size=batch_size,
        lr=lr,
        lr_end=lr_end,
        lr_scheduler_name=lr_schedule,
        lr_warm_up_steps=lr_warm_up_steps,
        lr_decay_steps=lr_decay_steps,
        n_restart_cycles=n_restart_cycles,
        adam_beta1=adam_beta1,
        adam_beta2=adam_beta2,
        dead_feature_window=dead_feature_window,
        normalize_activations=normalize,
        n_batches_for_norm_estimate=n_batches_for_norm_estimate,
        b_dec=b_dec or ("mean" if architecture_named(arch).reads_two_sites else "zero"),
        seed=seed,
        buffer_bytes=buffer_bytes,
        log_every=log_every,
    )


def plan_training(
    rows: ActivationStore | Path | str | RowSource,
    *,
    site: str | Sequence[str],
    d_sae: int | Sequence[int],
    settings: TrainingSettings,
    arch: str = "batchtopk",
    k: int | float | Sequence[int | float] | None = None,
    site_out: str | Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> TrainingPlan:
    """The recipes of every combination asked for, over the rows of a store or of a live source.

    Raises BadInput for a site that is not there, an architecture or option that does not exist, k
    where there is none, d_sae below k, and a store without rows.
    """
    store = _store(rows)
    known = list(store.sites if store is not None else rows.widths)  # type: ignore[union-attr]
    pairs = site_pairs(known, _listed(site), _listed(site_out), arch=arch)
    source = rows
    if store is not None:
        used = [name for pair in pairs for name in pair if name is not None]
        seed, buffer_bytes = settings.seed, settings.buffer_bytes
        source = StoreSource(store, used, seed=seed, buffer_bytes=buffer_bytes)
    found = recipes(
        widths=source.widths,  # type: ignore[union-attr]
        facts=source.facts if store is None else store_facts(store),  # type: ignore[union-attr]
        sites=pairs,
        arch=arch,
        d_sae=_listed(d_sae),
        k=_listed(k),
        options=options or {},
        settings=settings,
    )
    return TrainingPlan(source=source, recipes=found, settings=settings)  # type: ignore[arg-type]


def _store(rows: Any) -> ActivationStore | None:
    if isinstance(rows, (str, Path)):
        return ActivationStore.open(rows)
    return rows if isinstance(rows, ActivationStore) else None


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)
