"""MAET whole (2410.07825): locate, train, extract, transfer, every part kept and used again.

    parts = maet("base", "ability.jsonl", "general.jsonl", "out", languages=["adapted"])
    parts.model        # the merged model; parts.mask, .ability, .control and .weights beside it

Each part is a directory of its own. Called again with other settings, only what depends on them
is made anew: a sweep of gamma costs a transfer each.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from interp.abilities.locating.locate import WARM_UP, locate
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.masks.selection import Scope
from interp.abilities.moving.extract import extract
from interp.abilities.moving.recipe import PRESETS, Selection, SimilaritySupport
from interp.abilities.moving.transfer import transfer
from interp.abilities.stages import Stages
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.results.errors import BadInput
from interp.results.hashing import sha256_file


@dataclass(frozen=True, kw_only=True)
class MaetRecipe:
    """Every coefficient of the method. The paper's own values are not known: these are ours."""

    share: float = PRESETS["maet"].k1
    """k1, of the ranked entries; 1 takes all entries and locates nothing."""
    locator: str = "change"
    scope: Scope = "global"
    level: str = "entry"
    rank_embeddings: bool = False
    warm_up: TrainingRecipe = WARM_UP
    """The short training that locates."""
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    """Of the ability model and of its general control, on the same entries."""
    train_all: bool = False
    """Train every entry and cut the mask out afterwards, instead of training the mask alone."""
    alpha: float = 1.0
    beta: float = PRESETS["maet"].beta
    gamma: float = 1.0
    mu: tuple[float, ...] = ()
    """Of every language in order; empty for 1 each."""
    eta: float = 1.0
    eta_rest: float | None = None
    k2: float = PRESETS["maet"].k2
    select: Selection = "least"
    sim_support: SimilaritySupport = "mask"
    sim_absolute: bool = False
    seed: int = 0
    """Of both trainings and of whatever is drawn."""


@dataclass(frozen=True, kw_only=True)
class MaetParts:
    """Where everything lies."""

    root: Path
    """Of all parts."""
    mask: Path | None
    """None where all entries are taken."""
    ability: Path
    control: Path
    weights: Path
    model: Path

    def to_json(self) -> dict[str, str | None]:
        """Paths by part."""
        return {name: None if path is None else str(path) for name, path in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Two models of one training: on the ability, and on general data."""

    mask: Path | None
    ability: Path
    control: Path


def maet(
    base: str | Path,
    ability: Path,
    general: Path,
    out: Path,
    *,
    languages: Sequence[str | Path] = (),
    recipe: MaetRecipe | None = None,
    device: str = "cpu",
) -> MaetParts:
    """The ability of `ability` (jsonl, one language), moved into base + languages, in `out`.

    `general` is general jsonl of the same language, for the control whose change is subtracted.
    Raises what its parts raise; what was made before an error stays and is used again.
    """
    recipe = recipe or MaetRecipe()
    stages = Stages(Path(out))
    twins = train_twins(stages, base, ability, general, recipe=recipe, device=device)
    mask = None if twins.mask is None else NeuronMask.load(twins.mask)
    weights = stages.made(
        "weights",
        [*_digests(stages, twins), recipe.alpha, recipe.beta],
        lambda path: extract(
            base,
            twins.ability,
            path,
            general=twins.control if recipe.beta else None,
            mask=mask,
            alpha=recipe.alpha,
            beta=recipe.beta,
            cast=True,
            overwrite=True,
        ),
    )
    merging = {name: asdict(recipe)[name] for name in _MERGING}
    model = stages.made(
        "model",
        [stages.digest("weights"), [model_hash(directory_of(one)) for one in languages], merging],
        lambda path: transfer(
            base,
            weights,
            path,
            language=list(languages),
            mu=list(recipe.mu) or 1.0,
            overwrite=True,
            **{name: getattr(recipe, name) for name in _MERGING if name != "mu"},
        ),
    )
    return MaetParts(
        root=stages.root,
        mask=twins.mask,
        ability=twins.ability,
        control=twins.control,
        weights=weights,
        model=model,
    )


_MERGING = (
    *("gamma", "mu", "eta", "eta_rest", "k2", "select", "sim_support", "sim_absolute", "seed"),
)


def train_twins(
    stages: Stages,
    base: str | Path,
    ability: Path,
    general: Path,
    *,
    recipe: MaetRecipe,
    device: str = "cpu",
    random: bool = False,
) -> Twins:
    """Locate, then train the ability model and its control; both share mask, steps and seed.

    `random` takes as many random entries of every tensor instead, trained alone or cut out
    afterwards as the located ones are: the null of the location.
    """
    before = [model_hash(directory_of(base)), sha256_file(ability), sha256_file(general)]
    mask = None
    if recipe.share < 1.0:
        where = {name: asdict(recipe)[name] for name in _LOCATING}
        mask = stages.made(
            "mask",
            [*before, where],
            lambda path: _locate(base, ability, general, recipe, device).save(path, overwrite=True),
        )
    elif random:
        raise BadInput("all entries are taken: there are no random ones to hold against them")
    ending = ""
    if random and mask is not None:
        located, ending = mask, "-random"
        mask = stages.made(
            f"mask{ending}",
            [stages.digest("mask"), recipe.seed],
            lambda path: random_like(NeuronMask.load(located), seed=recipe.seed).save(
                path, overwrite=True
            ),
        )
    free = None if mask is None or recipe.train_all else NeuronMask.load(mask)
    if free is None:
        ending = "-everywhere"
    training = replace(recipe.training, seed=recipe.seed)
    made = {
        name: stages.made(
            f"{name}{ending}",
            [*before, asdict(training), None if free is None else stages.digest(f"mask{ending}")],
            lambda path, data=data: train_ability(
                base, data, path, mask=free, recipe=training, device=device, overwrite=True
            ),
        )
        for name, data in (("ability", ability), ("control", general))
    }
    return Twins(mask=mask, ability=made["ability"], control=made["control"])


_LOCATING = ("share", "locator", "scope", "level", "rank_embeddings", "warm_up", "seed")


def _digests(stages: Stages, twins: Twins) -> list[str | None]:
    paths = (twins.mask, twins.ability, twins.control)
    return [None if path is None else stages.digest(path.name) for path in paths]


def _locate(
    base: str | Path, ability: Path, general: Path, recipe: MaetRecipe, device: str
) -> NeuronMask:
    return locate(
        base,
        ability,
        locator=recipe.locator,
        share=recipe.share,
        general=general,
        scope=recipe.scope,
        rank_embeddings=recipe.rank_embeddings,
        level=recipe.level,
        split_halves=False,
        training=replace(recipe.warm_up, seed=recipe.seed),
        device=device,
    )
