"""The steps of `interp demo`: a study filled with the main job on polyglot."""

from dataclasses import replace
from pathlib import Path

import torch

from interp.abilities.comparing.verify import Candidates, choose_scales, verify
from interp.abilities.locating.locate import locate
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.capture import record
from interp.corpus.sources import open_corpus
from interp.evaluation.comparison import Comparison
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.load import load
from interp.results.atomic import atomic_directory, check_out
from interp.results.errors import BadInput
from interp.results.provenance import Provenance
from interp.results.study import INDEX, Study
from probes.polyglot import write_data

BASE = "polyglot"
ABILITY = "zorn"
TARGETS = ("D", "E")
SHARE = 0.2
"""Of the ranked entries; embedding and unembedding are not ranked."""
BETA = 0.25
SITES = ("blocks.*.hook_resid_post", "blocks.*.mlp.hook_post")
MAX_TOKENS = 10_000
LINE_WORDS = 5


def run_demo(out: Path, *, seed: int, overwrite: bool) -> Comparison:
    """Fill the study `out`, whole or not at all, and return its table.

    Raises BadInput if `out` exists, and even with `overwrite` if it is not a study.
    """
    check_out(out, replace=overwrite)
    if out.exists() and any(out.iterdir()) and not (out / INDEX).is_file():
        raise BadInput(f"{out} is not a study, and is not overwritten: choose another --out")
    # The model is too small to gain from a second thread, and one thread sums in one order: the
    # same figures whatever the number of cores.
    torch.set_num_threads(1)
    with atomic_directory(out, replace=overwrite) as directory:
        study = Study.create(
            directory, title="An ability moved to two other languages", provenance=_provenance(seed)
        )
        data = directory / "data"
        write_data(data, seed=seed)
        study = _capture(study, data)
        study, mask = _locate(study, data, seed=seed)
        study, weights = _extract(study, data, mask, kind="located", seed=seed)
        random = random_like(mask, seed=seed)
        study, random_weights = _extract(study, data, random, kind="random", seed=seed)
        return _transfer_and_verify(study, data, weights, random_weights, seed=seed)


def _provenance(seed: int) -> Provenance:
    return Provenance.collect(
        "interp demo",
        model_hash=model_identity(directory_of(BASE)).root,
        corpus_hash=None,
        seed=seed,
        settings={"share": SHARE, "beta": BETA, "sites": list(SITES), "targets": list(TARGETS)},
    )


def _capture(study: Study, data: Path) -> Study:
    corpus = open_corpus(data / "general.txt", BASE, length=LINE_WORDS, packing="document")
    path = study.path / "activations"
    record(load(BASE), corpus, SITES, path, max_tokens=MAX_TOKENS, batch_size=64)
    title = "Activations of the base on general lines in all five languages"
    return study.add("activations", kind="store", title=title, path=path)


def _locate(study: Study, data: Path, *, seed: int) -> tuple[Study, NeuronMask]:
    warm_up = TrainingRecipe(steps=100, lr=1e-3, seed=seed)
    mask = locate(BASE, data / "ability.jsonl", share=SHARE, split_halves=False, training=warm_up)
    path = mask.save(study.path / "masks" / "located")
    title = f"Entries that a short training on {ABILITY} in A moves most ({SHARE:.0%})"
    return study.add("located", kind="mask", title=title, path=path), mask


def _extract(
    study: Study, data: Path, mask: NeuronMask, *, kind: str, seed: int
) -> tuple[Study, AbilityWeights]:
    """Train ability and control at the mask's entries, and take the ability's weights out."""
    recipe = TrainingRecipe(steps=400, lr=1e-3, seed=seed)
    models = study.path / "models"
    for name in ("ability", "general"):
        train_ability(
            BASE, data / f"{name}.jsonl", models / f"{name}-{kind}", mask=mask, recipe=recipe
        )
    weights = extract(
        BASE,
        models / f"ability-{kind}",
        study.path / "abilities" / kind,
        general=models / f"general-{kind}",
        mask=mask,
        beta=BETA,
        cast=True,
    )
    title = f"Weights of {ABILITY} at the {kind} entries"
    return study.add(f"{ABILITY}-{kind}", kind="ability", title=title,
                     path=study.path / "abilities" / kind), weights  # fmt: skip


def _transfer_and_verify(
    study: Study, data: Path, weights: AbilityWeights, random_weights: AbilityWeights, *, seed: int
) -> Comparison:
    candidates = Candidates(
        base=BASE,
        ability_model="polyglot/ability",
        language_model="polyglot/language",
        control="polyglot/control",
        ceiling="polyglot/ceiling",
        weights=weights,
        random_weights=random_weights,
    )
    choices = choose_scales(
        candidates, data / "validation.jsonl", ability_task="ability", targets=TARGETS
    )
    gamma, eta = choices["transfer"].scales
    path = study.path / "models" / "transferred"
    transfer(BASE, weights, path, language="polyglot/language", gamma=gamma, eta=eta)
    study = study.add(
        "transferred", kind="model", title=f"The language model with {ABILITY} added", path=path
    )
    table = verify(
        replace(candidates, transferred=path),
        [data / "validation.jsonl", data / "test.jsonl"],
        ability_task="ability",
        targets=TARGETS,
        choices=choices,
        seed=seed,
    )
    path = table.save(study.path / "comparison")
    study.add("verdict", kind="comparison", title=f"Has the model gained {ABILITY}?", path=path)
    return table
