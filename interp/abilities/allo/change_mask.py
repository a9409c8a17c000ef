"""The entries that a warm-up moved most, as a mask: the scores are the same for every share."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence
from interp.abilities.locating.locators import locator_named
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.selection import select_by
from interp.abilities.masks.support import Support
from interp.models.identity import ModelIdentity
from interp.models.trainable import TrainableModel
from interp.results.errors import BadInput
from interp.results.provenance import Provenance


def change_mask(
    start: Mapping[str, Float[Tensor, "..."]],
    warmed: TrainableModel,
    *,
    share: float,
    locator: str = "change",
    base: ModelIdentity,
    settings: Mapping[str, Any] | None = None,
) -> NeuronMask:
    """The share of the entries of `start` that a locator ranks first in the warmed-up model.

    `change` takes exactly the share, `allo_released` what ALLO's code (2406.12606) takes, `bottom`
    those that moved least. `settings` say how the model was warmed up.
    """
    ranks = change_locator(locator)
    assert ranks.score is not None
    after = {name: warmed.parameters[name].detach().to(start[name].device) for name in start}
    scores = {
        name: ranks.score(TensorEvidence(base=before, trained=after[name]))
        for name, before in start.items()
    }
    selection = select_by(ranks, scores, share=share, scope="global")
    supports: dict[str, Support] = selection.supports
    recipe = {**(settings or {}), "locator": locator, "share": share, "scope": "global"}
    return NeuronMask(
        tensors=supports,
        level="entry",
        recipe={**recipe, "thresholds": selection.thresholds},
        base=base,
        provenance=Provenance.collect(
            "interp ability align",
            model_hash=base.root,
            corpus_hash=recipe.get("pairs"),
            seed=recipe.get("warmup", {}).get("seed"),
            settings=recipe,
        ),
        threshold=selection.thresholds.get("matrices"),
        histogram=selection.histogram,
    )


def change_locator(name: str) -> Locator:
    """The locator of this name. Raises BadInput unless it ranks by a change alone."""
    locator = locator_named(name)
    if locator.score is None or not locator.needs <= {"change"}:
        raise BadInput(
            f"locator {name!r} needs more than a warm-up's change: choose change, bottom or "
            "allo_released, or give a mask"
        )
    return locator
