"""The ablations of MAET (2410.07825): the whole method, and each part of it left out or inverted.

Every row is tried over the same number of settings, so that a row with fewer knobs has a finer
grid of scales. What the rows are made of is gathered once, in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from interp.abilities.comparing.contestants import Contestant, addition, transfer
from interp.abilities.comparing.parts import Parts, Weights, less
from interp.abilities.comparing.sweep import Method, Variant, scale_grid
from interp.abilities.moving.recipe import Selection
from interp.abilities.moving.tensor_types import types_of
from interp.results.errors import BadInput

BETAS = (0.0, 0.25, 0.5, 1.0)
SHARES_OF_TENSORS = (0.4, 0.6, 0.8, 1.0)
N_SETTINGS = 320


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What one training on the ability, and its twin on general data, changed in the base."""

    ability: Parts
    control: Parts
    label: str = ""
    """What sets it apart among others, such as a learning rate."""


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What the rows are made of."""

    base: Weights
    language: Weights
    located: Sequence[Trained]
    """Trained at the located entries alone."""
    random: Sequence[Trained]
    """Trained at as many random entries of every tensor."""
    everywhere: Sequence[Trained]
    """Trained at all entries."""
    n_settings: int = N_SETTINGS
    seed: int = 0
    """Of the random choice of tensors."""


def maet_methods(materials: Materials) -> list[Method]:
    """The whole method and its ablations, those that the materials allow."""
    m = materials
    rows = [
        _swept(m, "maet", "located, least similar tensors", m.located),
        _swept(m, "everywhere", "all entries (k1 = 1)", m.everywhere),
        _swept(m, "random_entries", "random entries, same counts", m.random),
        _swept(m, "no_subtraction", "no language subtracted (beta = 0)", m.located, betas=(0.0,)),
        _swept(m, "full_subtraction", "all of it (beta = 1)", m.located, betas=(1.0,)),
        _swept(m, "no_selection", "no tensor selection (k2 = 1)", m.located, shares=(1.0,)),
        _swept(m, "most", "most similar tensors", m.located, select="most"),
        _swept(m, "random_tensors", "random tensors, same types", m.located, select="random"),
        _swept(m, "no_language", "no language weights (eta = 0)", m.located, language=False),
        *_types_alone(m),
        plain_analogy(m),
        plain_addition(m),
    ]
    return [row for row in rows if row.variants]


def plain_addition(materials: Materials) -> Method:
    """Both vectors, every entry and tensor: what the method has to beat."""
    return _swept(
        materials,
        "plain_addition",
        "plain addition of both vectors",
        materials.everywhere,
        betas=(0.0,),
        shares=(1.0,),
    )


def plain_analogy(materials: Materials) -> Method:
    """Ability less control plus language, every entry and tensor."""
    return _swept(
        materials,
        "plain_analogy",
        "plain analogy",
        materials.everywhere,
        betas=(1.0,),
        shares=(1.0,),
    )


def _types_alone(m: Materials) -> Iterator[Method]:
    """The ability in the tensors of one type alone, fused ones together, as the paper's table."""
    kinds = sorted({types_of(name) for trained in m.located for name in trained.ability})
    for kind in kinds:
        yield _over_knobs(
            m,
            f"only_{'_'.join(kind)}",
            f"only {', '.join(kind)} tensors",
            m.located,
            betas=BETAS,
            shares=(1.0,),
            made=lambda parts, _k2, kind=kind: addition(
                "",
                "",
                base=m.base,
                parts={n: p for n, p in parts.items() if types_of(n) == kind},
                language=m.language,
            ),
        )


def _swept(
    m: Materials,
    key: str,
    title: str,
    trained: Sequence[Trained],
    *,
    betas: Sequence[float] = BETAS,
    shares: Sequence[float] = SHARES_OF_TENSORS,
    select: Selection = "least",
    language: bool = True,
) -> Method:
    def made(parts: Parts, k2: float) -> Contestant:
        return transfer(
            key,
            title,
            base=m.base,
            parts=parts,
            language=m.language,
            k2=k2,
            select=select,
            seed=m.seed,
        )

    return _over_knobs(
        m, key, title, trained, betas=betas, shares=shares, made=made, language=language
    )


def _over_knobs(
    m: Materials,
    key: str,
    title: str,
    trained: Sequence[Trained],
    *,
    betas: Sequence[float],
    shares: Sequence[float],
    made: Callable[[Parts, float], Contestant],
    language: bool = True,
) -> Method:
    """One variant for every training, beta and share of tensors; the scales share the rest."""
    knobs = list(product(trained, betas, shares))
    if not knobs:
        return Method(key=key, title=title, variants=())
    if m.n_settings % len(knobs):
        raise BadInput(
            f"{m.n_settings} settings do not divide over {len(knobs)} combinations of beta, share "
            "of tensors and training: give a multiple, as 160"
        )
    scales = scale_grid(m.n_settings // len(knobs), language=language)
    variants = []
    for donor, beta, k2 in knobs:
        settings: dict[str, Any] = {"beta": beta, "k2": k2}
        if donor.label:
            settings["trained"] = donor.label
        parts = less(donor.ability, donor.control, beta=beta)
        variants.append(Variant(contestant=made(parts, k2), scales=scales, settings=settings))
    return Method(key=key, title=title, variants=tuple(variants))
