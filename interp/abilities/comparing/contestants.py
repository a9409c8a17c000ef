"""Contestants: the merged models of a comparison, made in memory one setting at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources
from interp.abilities.comparing.parts import Part, Parts, Weights
from interp.abilities.moving.arithmetic import AbilityTerm, LanguageTerm, merged_tensor
from interp.abilities.moving.recipe import Selection
from interp.abilities.moving.similarity import Moments, moments, select_tensors, similarity_of
from interp.results.errors import Mismatch


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One method with scales to choose."""

    key: str
    title: str
    tensor: Callable[[str, Scales], Float[Tensor, "..."]]
    """The named tensor of the merged model, in float32, not rounded to the base's format."""


def transfer(
    key: str,
    title: str,
    *,
    base: Weights,
    parts: Parts,
    language: Weights | None,
    k2: float = 1.0,
    select: Selection = "least",
    seed: int = 0,
) -> Contestant:
    """Ability weights plus language weights, by the formula that writes them to disk.

    `k2` below 1 adds the ability only in that share of its tensors that `select` names, by
    likeness to the language's weights on the ability's entries. The language is added everywhere.
    """
    if language is not None and k2 < 1.0:
        cosines = likenesses(base, language, parts)
        names = select_tensors(cosines, k2=k2, select=select, seed=seed)
        parts = {name: parts[name] for name in names}
    return addition(key, title, base=base, parts=parts, language=language)


def addition(
    key: str, title: str, *, base: Weights, parts: Parts, language: Weights | None
) -> Contestant:
    """gamma times these parts, plus eta times the language's difference to the base."""
    unknown = parts.keys() - base.keys()
    if unknown:
        raise Mismatch(f"the base lacks {min(unknown)!r}, which the ability has weights in")

    def tensor(name: str, scales: Scales) -> Float[Tensor, "..."]:
        abilities = [AbilityTerm(scales.gamma, *parts[name])] if name in parts else []
        languages = [] if language is None else [LanguageTerm(scales.eta, language[name])]
        return merged_tensor(base[name], abilities=abilities, languages=languages)

    return Contestant(key=key, title=title, tensor=tensor)


def comparison_with(
    comparator: Comparator, *, base: Weights, others: Mapping[str, Weights]
) -> Contestant:
    """A comparator on whole models; `others` by the names it has in `needs`."""

    def tensor(name: str, scales: Scales) -> Float[Tensor, "..."]:
        models = {who: weights[name] for who, weights in others.items()}
        sources = TensorSources(base=base[name], name=name, **models)
        return comparator.merge(sources, scales)

    return Contestant(key=comparator.name, title=comparator.title, tensor=tensor)


def likenesses(base: Weights, language: Weights, parts: Parts) -> dict[str, float]:
    """Cosine of ability and language weights on the ability's entries, by tensor.

    Tensors in which the ability's weights are all 0 are left out, as where they are streamed.
    """
    sums = {name: _moments(base[name], language[name], part) for name, part in parts.items()}
    return {name: similarity_of(total).on_mask for name, total in sums.items() if total.ability}


def in_tensors(parts: Parts, names: Sequence[str]) -> Parts:
    """The parts of the named tensors alone."""
    return {name: parts[name] for name in names if name in parts}


def _moments(base: Tensor, language: Tensor, part: Part) -> Moments:
    return moments((language - base).flatten(), part.positions, part.delta)
