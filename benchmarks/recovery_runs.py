"""One training run on known features in superposition, by our step or by sae-lens's trainer.

`python -m benchmarks.recovery` fills every cell of its table with `figures_of`.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import get_sae_training_class
from sae_lens.saes.sae import SAE, TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer

from interp.dictionaries.architectures import make
from interp.dictionaries.step import TrainStep
from interp.dictionaries.synthetic import UNSEEN, Superposition, detection, recovery

D_SAE = 1024
BATCH = 256
TRAINING, STARTING = 0, 1
STARTING_ROWS = 16_384
TEST_ROWS = 16_384
SAE_LENS_LR = 3e-4
"""Constant: what `sae_lens.synthetic.train_toy_sae` and `SAETrainerConfig` do when not told."""

Trainer = Literal["ours", "sae_lens"]
Settings = Literal["tuned", "defaults"]
Start = Literal["drawn", "truth"]
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one architecture is trained."""

    lr: float
    decay: float
    """Share of the steps, the last ones, in which the rate falls to zero in a straight line."""
    centred: bool
    """Whether the decoder's bias starts at the data's mean, else at zero."""
    dead_after: int
    """Steps without firing after which the auxiliary loss takes a latent up (TopK kinds)."""
    options: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One cell of the table."""

    architecture: str
    trainer: Trainer
    settings: Settings
    mean_active: float
    seed: int
    steps: int
    start: Start = "drawn"


TUNED: dict[str, tuple[float, dict[str, Any]]] = {
    "standard": (3e-3, {"l1_coefficient": 0.3}),
    "gated": (3e-3, {"l1_coefficient": 0.3}),
    "jumprelu": (
        3e-3,
        {
            "l0_coefficient": 0.1,
            "l0_warm_up_steps": 1000,
            "jumprelu_bandwidth": 0.1,
            "jumprelu_init_threshold": 0.1,
        },
    ),
    "batchtopk": (3e-3, {}),
    "topk": (3e-3, {}),
    "matryoshka_batchtopk": (3e-3, {"matryoshka_widths": [D_SAE // 4, D_SAE]}),
}
"""Rate and options of each architecture, chosen on the tuning seed alone."""
TUNED_DECAY = 0.3
TUNED_DEAD_AFTER = 200
SAE_LENS_DEAD_AFTER = 1000
NEEDED = ("k", "matryoshka_widths")
"""Options that are the task's and not a matter of taste: sae-lens's defaults are told them too."""


def recipe_of(run: Run) -> Recipe:
    """The recipe of a run: ours, or what sae-lens does by default with the task's sparsity."""
    lr, options = TUNED[run.architecture]
    if "topk" in run.architecture:
        k = run.mean_active if "batch" in run.architecture else int(run.mean_active)
        options = options | {"k": k}
    if run.settings == "tuned":
        return Recipe(
            lr=lr,
            decay=TUNED_DECAY,
            centred=True,
            dead_after=TUNED_DEAD_AFTER,
            options=options,
        )
    kept = {name: value for name, value in options.items() if name in NEEDED}
    return Recipe(
        lr=SAE_LENS_LR,
        decay=0.0,
        centred=False,
        dead_after=SAE_LENS_DEAD_AFTER,
        options=kept,
    )


def figures_of(run: Run) -> Figures:
    """Train as `run` says and measure what was found; one thread, nothing written."""
    torch.set_num_threads(1)
    truth = Superposition(mean_active=run.mean_active, seed=run.seed)
    recipe = recipe_of(run)
    sae = started(run, recipe, truth)
    begun = time.perf_counter()
    (by_our_step if run.trainer == "ours" else by_sae_lens)(sae, truth, run, recipe)
    step_ms = 1000 * (time.perf_counter() - begun) / run.steps
    return measured(for_inference(sae), truth) | {"step_ms": step_ms}


def started(run: Run, recipe: Recipe, truth: Superposition) -> TrainingSAE[Any]:
    """The dictionary before its first step: for both trainers the same weights."""
    mean = truth.rows(STARTING_ROWS, stream=STARTING).x.mean(0) if recipe.centred else None
    d_in = truth.features.shape[1]
    sae = make(
        run.architecture, d_in=d_in, d_sae=D_SAE, seed=run.seed, b_dec=mean, **recipe.options
    )
    if run.start == "truth":
        _start_at(sae, truth)
    if run.trainer == "ours":
        return sae
    theirs, config_class = get_sae_training_class(run.architecture)
    config = config_class(d_in=d_in, d_sae=D_SAE, **recipe.options)
    with torch.random.fork_rng(devices=[]):
        same = theirs(config)
    same.load_state_dict(sae.state_dict())
    return same


@torch.no_grad()
def _start_at(sae: TrainingSAE[Any], truth: Superposition) -> None:
    n, norm = truth.n_features, sae.W_dec.norm(dim=1).mean()
    sae.W_dec[:n] = truth.features * norm
    sae.W_enc[:, :n] = truth.features.T * norm


def by_our_step(sae: TrainingSAE[Any], truth: Superposition, run: Run, recipe: Recipe) -> None:
    """Train in place with `interp.dictionaries.step`."""
    step = TrainStep(sae, trainer_config(run, recipe))
    batches = truth.batches(BATCH, stream=TRAINING)
    for _ in range(run.steps):
        step.step(next(batches))


def by_sae_lens(sae: TrainingSAE[Any], truth: Superposition, run: Run, recipe: Recipe) -> None:
    """Train in place with sae-lens's own trainer."""
    batches = truth.batches(BATCH, stream=TRAINING)
    SAETrainer(cfg=trainer_config(run, recipe), sae=sae, data_provider=batches).fit()


def trainer_config(run: Run, recipe: Recipe) -> SAETrainerConfig:
    """sae-lens's settings of a run; what is not named is its default."""
    return SAETrainerConfig(
        total_training_samples=run.steps * BATCH,
        train_batch_size_samples=BATCH,
        lr=recipe.lr,
        lr_end=recipe.lr,
        lr_decay_steps=int(recipe.decay * run.steps),
        dead_feature_window=recipe.dead_after,
    )


def for_inference(sae: TrainingSAE[Any]) -> SAE[Any]:
    """The dictionary as a user would open it."""
    with TemporaryDirectory() as directory:
        sae.save_inference_model(directory)
        return SAE.load_from_disk(Path(directory))


@torch.no_grad()
def measured(sae: SAE[Any], truth: Superposition) -> Figures:
    """What was found of the truth, how well it is told, and how the rows are reconstructed."""
    found, told = recovery(sae, truth), detection(sae, truth, n_rows=TEST_ROWS)
    rows = truth.rows(TEST_ROWS, stream=UNSEEN + 1)
    latents = sae.encode(rows.x)
    missed = (rows.x - sae.decode(latents)).square().sum()
    return {
        "one_to_one": found.one_to_one.value,
        "best_match": found.best_match.value,
        "mmcs": found.mmcs.value,
        "rare": found.by_frequency["rare"].one_to_one.value,
        "frequent": found.by_frequency["frequent"].one_to_one.value,
        "null_one_to_one": found.null_one_to_one,
        "null_mmcs": found.null_mmcs,
        "precision": float(np.nan_to_num(told.precision).mean()),
        "recall": float(np.nan_to_num(told.recall).mean()),
        "f1": float(told.f1.mean()),
        "null_f1": float(told.null_f1.mean()),
        "l0": float((latents != 0).sum(1).double().mean()),
        "explained_variance": 1 - float(missed / (rows.x - rows.x.mean(0)).square().sum()),
    }


def settings_of(run: Run) -> dict[str, Any]:
    """Everything that decides a run's figures; JSON values."""
    return asdict(run) | asdict(recipe_of(run)) | {"d_sae": D_SAE, "batch": BATCH}
