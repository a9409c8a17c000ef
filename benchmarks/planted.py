"""Planted support: which locators find the entries that an ability was written into?

In a base of polyglot 5% of all entries are drawn inside the MLPs of the middle two layers; the
ability is trained with only these free, then all entries drift on general data. Every locator
ranks all entries of the model, and its precision is the share of planted entries among as many of
its highest scores (chance .05). A twin that drifts alike from the base and has no ability corrects
for the drift. What starts from the base alone has no way to know where another training wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor
from transformers import LlamaForCausalLM

from benchmarks.families import family
from benchmarks.harness import Benchmark
from interp.abilities.locating.evidence import after_training, gradient_moments, input_norms
from interp.abilities.locating.locator import TensorEvidence, given
from interp.abilities.locating.locators import locator_named
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.training.masked_training import TrainingRecipe, train_model
from interp.models.examples import TrainingExamples, encode_examples
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.intervals import mean_t
from interp.results.provenance import Provenance
from probes.polyglot import ability_training, general_training
from probes.polyglot.accuracy import accuracies

SEEDS = (1, 2, 3)
SHARE = 0.05
LAYERS = (1, 2)
DRIFT = 1e-4
PLANTING = TrainingRecipe(steps=400, lr=3e-3)
DRIFT_STEPS = 300
SHORT = TrainingRecipe(steps=100, lr=1e-3, freeze_embeddings=False)
GRADIENT_EXAMPLES = 256
RANDOM_DRAWS = 20

AT_ONE_MODEL = ("fisher", "grad", "grad_abs", "saliency", "wanda", "magnitude")

TITLES = {
    "change": "how far the entry is from the base (change)",
    "twin_corrected": "the same less how far the twin moved it (contrast)",
    "from_twin": "how far the entry is from the twin",
    **{f"drifted.{name}": f"{name} at the drifted model" for name in AT_ONE_MODEL},
    "base.change": "change of a short training from the base",
    **{f"base.{name}": f"{name} at the base" for name in AT_ONE_MODEL},
    "random": "random, mean of the draws",
}

Tensors = dict[str, Float[Tensor, "..."]]
Entries = Float[np.ndarray, " entries"]


class Found(NamedTuple):
    """How well a ranking of all entries finds the planted ones."""

    precision: float
    """Share of planted entries among as many of the highest scores; also the recall there."""
    auroc: float
    """Chance that a planted entry outranks another; ties count half."""


Figures = dict[str, Found]


def planted_mask(base: TrainableModel, *, seed: int) -> NeuronMask:
    """5% of the model's entries, drawn from the MLP matrices of the middle layers."""
    shapes = {name: p.shape for name, p in sorted(base.parameters.items())}
    places = [f"layers.{layer}.mlp." for layer in LAYERS]
    room = [name for name in shapes if any(place in name for place in places)]
    sizes = [shapes[name].numel() for name in room]
    n = sum(shape.numel() for shape in shapes.values())
    drawn = np.zeros(sum(sizes), dtype=bool)
    drawn[np.random.default_rng(seed).choice(drawn.size, size=int(n * SHARE), replace=False)] = True
    pieces = np.split(drawn, np.cumsum(sizes)[:-1])
    dense = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    dense |= {name: piece.reshape(shapes[name]) for name, piece in zip(room, pieces, strict=True)}
    identity = model_identity(base.directory)
    recipe = {"planted": SHARE, "layers": list(LAYERS), "seed": seed}
    provenance = Provenance.collect(
        "python -m benchmarks.planted",
        model_hash=identity.root,
        corpus_hash=None,
        seed=seed,
        settings=recipe,
    )
    return NeuronMask.from_dense(
        dense, level="entry", recipe=recipe, base=identity, provenance=provenance
    )


def drifting(lr: float, seed: int, *, steps: int = DRIFT_STEPS) -> TrainingRecipe:
    """Training of all entries, embeddings too, on general data."""
    return TrainingRecipe(steps=steps, lr=lr, seed=seed, freeze_embeddings=False)


def evidence_at(model: TrainableModel, examples: TrainingExamples) -> dict[str, TensorEvidence]:
    """Gradients of single examples and inputs, at the model's own weights."""
    few = TrainingExamples(
        tokens=examples.tokens[:GRADIENT_EXAMPLES], target=examples.target[:GRADIENT_EXAMPLES]
    )
    names = sorted(model.parameters)
    gradients = gradient_moments(model, few, names)
    norms = input_norms(model, few, names, batch_size=128)
    return {
        name: TensorEvidence(
            base=model.parameters[name].detach().clone(),
            mean_gradient=gradients.mean[name],
            mean_abs_gradient=gradients.mean_abs[name],
            mean_square_gradient=gradients.mean_square[name],
            input_norm=norms[name],
        )
        for name in names
    }


def moved(base: Tensors, trained: Tensors, general: Tensors) -> dict[str, TensorEvidence]:
    """A model and its twin beside the base that both started from."""
    return {
        name: TensorEvidence(base=base[name], trained=trained[name], general=general[name])
        for name in base
    }


def scores_by(locator: str, evidence: Mapping[str, TensorEvidence]) -> Entries:
    """A locator's scores of all entries, tensor by tensor in the order of their names."""
    score = given(locator_named(locator).score)
    return flat({name: score(tensor) for name, tensor in evidence.items()})


def flat(tensors: Tensors) -> Entries:
    """All entries as one vector, tensor by tensor in the order of their names."""
    return np.concatenate([tensors[name].reshape(-1).double().numpy() for name in sorted(tensors)])


def found(scores: Entries, planted: Bool[np.ndarray, " entries"]) -> Found:
    """Precision at the planted count, ties to the first, and area under the ROC curve."""
    k = int(planted.sum())
    top = np.argsort(-scores, kind="stable")[:k]
    ranks = rankdata(scores)
    others = planted.size - k
    auroc = (ranks[planted].sum() - k * (k + 1) / 2) / (k * others)
    return Found(float(planted[top].mean()), float(auroc))


def run_seed(models: Path, *, seed: int, drift: float, say: Callable[[str], None]) -> Figures:
    """Every ranking's figures for one family and one size of drift."""
    model = read_trainable(models / "base")
    tokenizer = model.tokenizer()
    ability = encode_examples(ability_training(seed), tokenizer)
    general = encode_examples(general_training(seed), tokenizer)
    names, base = sorted(model.parameters), copied(model)
    mask = planted_mask(model, seed=seed)
    planted = np.concatenate([mask.dense(name).reshape(-1) for name in names])
    at_base = evidence_at(model, ability)
    short = after_training(model, ability, names, replace(SHORT, seed=seed))
    twin = after_training(model, general, names, drifting(drift, seed))
    train_model(model, ability, mask=mask, recipe=replace(PLANTING, seed=seed))
    say(f"seed {seed}, planted: {_accuracy(model)}")
    train_model(model, general, recipe=drifting(drift, seed))
    say(f"seed {seed}, drifted at {drift:g}: {_accuracy(model)}")
    drifted = copied(model)
    at_drifted = evidence_at(model, ability)
    changes = moved(base, drifted, twin)
    rankings = {
        "change": scores_by("change", changes),
        "twin_corrected": scores_by("contrast", changes),
        "from_twin": np.abs(flat(drifted) - flat(twin)),
        "base.change": scores_by("change", moved(base, short, twin)),
    }
    for name in AT_ONE_MODEL:
        rankings[f"drifted.{name}"] = scores_by(name, at_drifted)
        rankings[f"base.{name}"] = scores_by(name, at_base)
    drawn = by_chance(planted, seed=seed)
    low, high = min(drawn).precision, max(drawn).precision
    say(f"seed {seed}, precision of {RANDOM_DRAWS} random rankings: {low:.3f} to {high:.3f}")
    figures = {name: found(scores, planted) for name, scores in rankings.items()}
    return figures | {"random": Found(*np.mean(drawn, axis=0).tolist())}


def by_chance(planted: Bool[np.ndarray, " entries"], *, seed: int) -> list[Found]:
    """Figures of random rankings."""
    rng = np.random.default_rng(seed)
    return [found(rng.random(planted.size), planted) for _ in range(RANDOM_DRAWS)]


def copied(model: TrainableModel) -> Tensors:
    """The model's tensors as they are now."""
    return {name: p.detach().clone() for name, p in model.parameters.items()}


def _accuracy(model: TrainableModel) -> str:
    llama = model.model
    assert isinstance(llama, LlamaForCausalLM)
    told = accuracies(llama)
    groups = [("ability", "A"), ("ability", "BC"), ("general", "ABCDE")]
    return ", ".join(f"{t} in {g} {told[t][g].interval.value:.3f}" for t, g in groups)


def main() -> None:
    """Plant in every seed, print the table, end with the JSON line."""
    benchmark = Benchmark("planted", __doc__)
    benchmark.parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    benchmark.parser.add_argument(
        "--drifts", type=float, nargs="+", default=[DRIFT], help="rates; the first gives the bars"
    )
    asked = benchmark.parse()
    torch.set_num_threads(1)
    benchmark.say_settings(
        seeds=asked.seeds, share=SHARE, layers=LAYERS, drifts=asked.drifts, cache=asked.cache
    )
    by_drift = {}
    for drift in asked.drifts:
        by_drift[drift] = [
            run_seed(family(seed, asked.cache), seed=seed, drift=drift, say=benchmark.say)
            for seed in asked.seeds
        ]
        say_table(benchmark, by_drift[drift], drift)
    benchmark.finish(bars_of(by_drift[asked.drifts[0]]))


def say_table(benchmark: Benchmark, runs: Sequence[Figures], drift: float) -> None:
    """One line a ranking: mean over seeds with a 95% t-interval, and the range."""
    benchmark.say(f"drift {drift:g}: precision at the planted count over {len(runs)} seeds; AUROC")
    for name, title in TITLES.items():
        values = np.array([run[name].precision for run in runs])
        auroc = np.mean([run[name].auroc for run in runs])
        spread = f"{values.min():.3f} to {values.max():.3f}"
        benchmark.say(f"  {title:52} {mean_t(values)}  {spread}  AUROC {auroc:.3f}")


def bars_of(runs: Sequence[Figures]) -> dict[str, float]:
    """The lowest seed of what must be high, the highest of what must be at chance, means of all."""
    precision = {name: np.array([run[name].precision for run in runs]) for name in TITLES}
    bars = {f"planted.{name}": float(values.mean()) for name, values in precision.items()}
    bars["planted.twin_corrected"] = float(precision["twin_corrected"].min())
    bars["planted.from_base_change"] = float(precision["base.change"].max())
    return bars | {"planted.seeds": len(runs)}


if __name__ == "__main__":
    main()
