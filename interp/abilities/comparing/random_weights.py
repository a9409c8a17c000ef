"""Ability weights at random entries: same training, same extraction, same count per tensor."""

from pathlib import Path
from tempfile import TemporaryDirectory

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.moving.extract import extract
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.results.atomic import check_out
from interp.results.errors import BadInput


def random_weights_like(
    base: str | Path,
    weights: AbilityWeights,
    examples: Path,
    out: Path,
    *,
    general: Path | None = None,
    recipe: TrainingRecipe,
    device: str = "cpu",
    overwrite: bool = False,
) -> AbilityWeights:
    """R(A) at as many random entries of every tensor as `weights` has, written to `out`.

    Trained from `base` on `examples` by `recipe`, whose seed also draws the entries, and extracted
    with the coefficients of `weights`. Raises BadInput if those subtract a control and `general`
    does not say what to train it on.
    """
    alpha, beta = weights.recipe.alpha, weights.recipe.beta
    if beta and general is None:
        raise BadInput(
            f"the ability weights subtract {beta} of a general control: give general training data"
        )
    check_out(out, replace=overwrite)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    mask = random_like(_mask_of(weights), seed=recipe.seed)
    with TemporaryDirectory(dir=out.absolute().parent, prefix=".random-") as temporary:
        data = {"ability": examples} | ({"general": general} if beta and general else {})
        models = {
            name: train_ability(
                base, file, Path(temporary) / name, mask=mask, recipe=recipe, device=device
            )
            for name, file in data.items()
        }
        return extract(
            base,
            models["ability"],
            out,
            general=models.get("general"),
            mask=mask,
            alpha=alpha,
            beta=beta,
            cast=True,
            overwrite=overwrite,
        )


def _mask_of(weights: AbilityWeights) -> NeuronMask:
    """The mask that the ability weights lie on."""
    return NeuronMask(
        tensors={name: tensor.support for name, tensor in weights.tensors.items()},
        level="entry",
        recipe=weights.recipe.mask or {},
        base=weights.base,
        provenance=weights.provenance,
    )
