"""The figures of one sibling of one seed, for the table of `benchmarks.modules`."""

from typing import Any

import torch

from benchmarks.modules_models import Trained
from benchmarks.modules_runs import (
    RULE,
    SITES,
    Scored,
    picks_own_block,
    specialised_share,
)
from interp.modules.perturbation import PerturbationResult
from probes.functions.facts import measure
from probes.functions.model import read_model

Figures = dict[str, Any]
"""Lists are by layer; all values are JSON's."""
RANDOM = "random neurons"


def figures_of(trained: Trained) -> Figures:
    """Scores, experts and losses of the last checkpoint; one thread, nothing kept."""
    torch.set_num_threads(1)
    scored, start = Scored(trained), Scored(trained, step=0)
    known = scored.known()
    functional = scored.functional(known)
    perturbed = scored.perturbed(known)
    return {
        "active": measure(read_model(trained.directory)).activation_ratio.tolist(),
        "specialised": [specialised_share(scores) for scores in scored.scores],
        "shuffled_specialised": [specialised_share(scores) for scores in scored.shuffled],
        "best": [float(scores.best().mean()) for scores in scored.scores],
        "best_untrained": [float(scores.best().mean()) for scores in start.scores],
        "best_shuffled": [float(scores.best().mean()) for scores in scored.shuffled],
        "functional": int(functional.functions_with_an_expert(RULE)[-1]),
        "functional_fdr": int(functional.functions_with_an_expert("fdr")[-1]),
        "picks_own_block": picks_own_block(trained, known, perturbed, layer=len(SITES) - 1),
        "known": _losses(perturbed),
        "activity": _losses(scored.perturbed(scored.by_activity(), draws=1)),
        "weights": _losses(scored.perturbed(scored.by_weights(), draws=1)),
    }


def _losses(result: PerturbationResult) -> dict[str, float]:
    minus = result.specificity("accuracy")
    return {
        "own": float(result.own("accuracy").mean()),
        "other": float(result.other("accuracy").mean()),
        "random": float(result.controls[RANDOM][0].mean()),
        "minus": minus.value,
        "low": minus.low,
        "high": minus.high,
    }
