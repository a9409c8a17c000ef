"""The rows of the table: every method with its settings, from a seed's donors."""

from collections import defaultdict
from collections.abc import Callable
from itertools import product

import numpy as np
from jaxtyping import Float
from torch import Tensor

from benchmarks.transfer.donors import RATES, Donors, MaskOrder
from interp.abilities.comparing.ablations import Materials, Trained, maet_methods, plain_addition
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import (
    Contestant,
    addition,
    in_tensors,
    likenesses,
    transfer,
)
from interp.abilities.comparing.parts import Parts, Weights, less, parts_between
from interp.abilities.comparing.sweep import Method, Variant, scale_grid
from interp.abilities.merge.ties import ties_tensor
from interp.abilities.moving.tensor_types import types_of

N_SETTINGS = 160
SHARE = 0.2
ONE = (Scales(1.0, 1.0),)
SEARCHED = (
    MaskOrder(share=0.05),
    MaskOrder(share=0.5),
    MaskOrder(share=0.25, level="neuron"),
    MaskOrder(share=0.5, level="head"),
)
"""Masks that the search tries besides the located share of the table."""
KEPT_LAYERS = (2, 3)
"""Of four, within each type of matrix, in the size-matched comparison of selection rules."""
RANDOM_DRAWS = 3
DENSITIES = (0.2, 0.5, 0.8, 1.0)
"""Shares of each difference that TIES is tried at."""


def materials(donors: Donors, *, random: bool = True) -> Materials:
    """What the ablations are made of."""
    located = MaskOrder(share=SHARE)
    return Materials(
        base=donors.base,
        language=donors.language,
        located=[donors.masked(located)],
        random=[donors.masked(MaskOrder(share=SHARE, random=True))] if random else [],
        everywhere=donors.everywhere(),
        n_settings=N_SETTINGS,
        seed=donors.seed,
    )


def tuned_methods(donors: Donors) -> list[Method]:
    """The method, its ablations and what it is held against: equal numbers of settings."""
    return [
        *maet_methods(materials(donors)),
        _vectors_of("continued", "continued training's vector", donors, donors.continued),
        _vectors_of("replayed", "the same with replay", donors, donors.replayed),
        _ties(donors),
    ]


def fixed_methods(donors: Donors) -> list[Method]:
    """Models as they are, and sums without tuning; a learning rate is chosen where two stand."""
    base, language = donors.base, donors.language
    ability, control = donors.ability(RATES[0]), donors.control(RATES[0])
    vector = parts_between(base, ability)
    preset = less(*_both(donors.masked(MaskOrder(share=SHARE))), beta=0.25)
    embeddings, body = _split_language(base, language)
    sums = {
        "sum_untuned": ("plain preset: sum, scales 1", vector, language),
        "sum_embeddings": ("the same, language embeddings alone", vector, embeddings),
        "sum_body": ("the same, language body alone", vector, body),
        "analogy_untuned": (
            "plain analogy, scales 1",
            less(vector, parts_between(base, control), beta=1.0),
            language,
        ),
    }
    maet = transfer("", "", base=base, parts=preset, language=language, k2=0.8)
    return [
        _model("base", "base", base),
        _model("language", "language model", language),
        *(
            _model(f"ability_{lr:g}", f"ability model, rate {lr:g}", donors.ability(lr))
            for lr in RATES
        ),
        _model(
            "ability_embeddings",
            "ability model, embeddings trained",
            donors.ability(RATES[0], embeddings=True),
        ),
        *(
            _single(key, title, addition(key, title, base=base, parts=parts, language=of))
            for key, (title, parts, of) in sums.items()
        ),
        _single("maet_untuned", "maet preset at 20%, scales 1", maet),
        _models("continued_model", "continued training", donors.continued),
        _models("replayed_model", "continued training with replay", donors.replayed),
        _model("reverse", "ability first, language after", donors.reversed()),
        _model("ceiling", "ceiling", donors.ceiling()),
    ]


def selection_methods(donors: Donors) -> list[Method]:
    """Rules that keep k of the four layers' matrices within each type: equal sizes by design."""
    rules = {
        "least": ("least similar", lambda cosine, _norm, _draw: cosine),
        "most": ("most similar", lambda cosine, _norm, _draw: -cosine),
        "largest": ("largest vector", lambda _cosine, norm, _draw: -norm),
        "smallest": ("smallest vector", lambda _cosine, norm, _draw: norm),
        "random": ("random", lambda _cosine, _norm, draw: draw),
    }
    return [
        _layers_kept(donors, f"{key}_{kept}_layers", f"{title}, {kept} of 4 layers", rule, kept)
        for kept in KEPT_LAYERS
        for key, (title, rule) in rules.items()
    ]


def search_methods(donors: Donors) -> list[Method]:
    """Masks of other shares and levels, and both ways to select, on the whole grid of knobs."""
    made = materials(donors, random=False)
    rows = [row for row in maet_methods(made) if row.key in ("everywhere", "maet", "most")]
    for order in SEARCHED:
        of_mask = Materials(
            base=made.base,
            language=made.language,
            located=[donors.masked(order)],
            random=[],
            everywhere=made.everywhere,
            n_settings=N_SETTINGS,
            seed=donors.seed,
        )
        row = next(row for row in maet_methods(of_mask) if row.key == "maet")
        rows.append(Method(key=order.key, title=order.key, variants=row.variants))
    return [plain_addition(made), *rows]


def _vectors_of(
    key: str, title: str, donors: Donors, trained: Callable[[float], Weights]
) -> Method:
    """What training the language model added, on the grid that the sum has."""
    variants = []
    for lr in RATES:
        parts = parts_between(donors.language, trained(lr))
        made = addition(key, title, base=donors.base, parts=parts, language=donors.language)
        scales = scale_grid(N_SETTINGS // len(RATES))
        variants.append(Variant(contestant=made, scales=scales, settings={"trained": f"{lr:g}"}))
    return Method(key=key, title=title, variants=tuple(variants))


def _ties(donors: Donors) -> Method:
    """TIES (2306.01708) of both vectors, trimmed to each of DENSITIES."""
    variants = []
    for lr, density in product(RATES, DENSITIES):
        ability = donors.ability(lr)

        def tensor(
            name: str, scales: Scales, ability: Weights = ability, density: float = density
        ) -> Float[Tensor, "..."]:
            models = (ability[name], donors.language[name])
            return ties_tensor(donors.base[name], models, scales, density)

        made = Contestant(key="ties", title="TIES", tensor=tensor)
        scales = scale_grid(N_SETTINGS // (len(RATES) * len(DENSITIES)))
        settings = {"trained": f"{lr:g}", "density": density}
        variants.append(Variant(contestant=made, scales=scales, settings=settings))
    return Method(key="ties", title="TIES", variants=tuple(variants))


def _layers_kept(
    donors: Donors,
    key: str,
    title: str,
    rule: Callable[[float, float, float], float],
    kept: int,
) -> Method:
    draws = RANDOM_DRAWS if key.startswith("random") else 1
    variants = []
    for lr in RATES:
        parts = parts_between(donors.base, donors.ability(lr))
        cosines = likenesses(donors.base, donors.language, parts)
        for draw in range(draws):
            rng = np.random.default_rng([donors.seed, draw])
            names = _kept_names(parts, cosines, rule, kept, rng)
            made = addition(
                key,
                title,
                base=donors.base,
                parts=in_tensors(parts, names),
                language=donors.language,
            )
            settings = {"trained": f"{lr:g}", "draw": draw}
            variants.append(Variant(contestant=made, scales=scale_grid(10), settings=settings))
    return Method(key=key, title=title, variants=tuple(variants))


def _kept_names(
    parts: Parts,
    cosines: dict[str, float],
    rule: Callable[[float, float, float], float],
    kept: int,
    rng: np.random.Generator,
) -> list[str]:
    """Every vector, and of each type of matrix the `kept` layers that the rule puts first."""
    types: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in sorted(parts):
        types[types_of(name)].append(name)
    names = list(types.pop(("norm",), []))
    for members in types.values():
        scores = {n: rule(cosines[n], float(parts[n].delta.norm()), rng.random()) for n in members}
        names += sorted(members, key=lambda name: (scores[name], name))[:kept]
    return names


def _both(trained: Trained) -> tuple[Parts, Parts]:
    return trained.ability, trained.control


def _split_language(base: Weights, language: Weights) -> tuple[Weights, Weights]:
    """The language model's embeddings in the base's body, and the other way round."""
    tables = {name for name in base if types_of(name) in (("embed",), ("head",))}
    embeddings = {n: language[n] if n in tables else base[n] for n in base}
    body = {n: base[n] if n in tables else language[n] for n in base}
    return embeddings, body


def _model(key: str, title: str, weights: Weights) -> Method:
    return _single(key, title, _as_it_is(key, title, weights))


def _models(key: str, title: str, trained: Callable[[float], Weights]) -> Method:
    variants = tuple(
        Variant(
            contestant=_as_it_is(key, title, trained(lr)),
            scales=ONE,
            settings={"trained": f"{lr:g}"},
        )
        for lr in RATES
    )
    return Method(key=key, title=title, variants=variants)


def _single(key: str, title: str, contestant: Contestant) -> Method:
    return Method(key=key, title=title, variants=(Variant(contestant=contestant, scales=ONE),))


def _as_it_is(key: str, title: str, weights: Weights) -> Contestant:
    def tensor(name: str, _scales: Scales) -> Float[Tensor, "..."]:
        return weights[name]

    return Contestant(key=key, title=title, tensor=tensor)
