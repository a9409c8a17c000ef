"""Contestants: the merged models of a comparison, made in memory one setting at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.arithmetic import AbilityTerm, LanguageTerm, merged_tensor
from interp.abilities.comparator import Comparator, Scales, TensorSources
from interp.abilities.similarity import moments, select_tensors, similarity_of
from interp.abilities.support import Support
from interp.abilities.weights import AbilityWeights
from interp.results.errors import Mismatch

Weights = Mapping[str, Float[Tensor, "..."]]


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
    weights: AbilityWeights,
    language: Weights | None,
    k2: float = 1.0,
) -> Contestant:
    """Ability weights plus language weights, by the formula that writes them to disk.

    `k2` below 1 adds the ability only in that share of its tensors, those whose weights are least
    like the language's (measured on the ability's entries). The language is added everywhere.
    """
    unknown = weights.tensors.keys() - base.keys()
    if unknown:
        raise Mismatch(f"the base lacks {min(unknown)!r}, which the ability has weights in")
    terms = {
        name: (_positions(t.support), torch.from_numpy(t.delta.copy()))
        for name, t in weights.tensors.items()
        if t.delta.any()
    }
    if language is not None and k2 < 1.0:
        cosines = {name: _likeness(base[name], language[name], *terms[name]) for name in terms}
        chosen = select_tensors(cosines, k2=k2)
        terms = {name: terms[name] for name in chosen}

    def tensor(name: str, scales: Scales) -> Float[Tensor, "..."]:
        abilities = [AbilityTerm(scales.gamma, *terms[name])] if name in terms else []
        languages = [] if language is None else [LanguageTerm(scales.eta, language[name])]
        return merged_tensor(base[name], abilities=abilities, languages=languages)

    return Contestant(key=key, title=title, tensor=tensor)


def comparison_with(
    comparator: Comparator, *, base: Weights, others: Mapping[str, Weights]
) -> Contestant:
    """A comparator on whole models; `others` by the names it has in `needs`."""

    def tensor(name: str, scales: Scales) -> Float[Tensor, "..."]:
        sources = TensorSources(base=base[name], **{who: w[name] for who, w in others.items()})
        return comparator.merge(sources, scales)

    return Contestant(key=comparator.name, title=comparator.title, tensor=tensor)


def _positions(support: Support) -> Tensor | None:
    if support.encoding == "all":
        return None
    return torch.from_numpy(support.positions(0, support.n_entries))


def _likeness(base: Tensor, language: Tensor, positions: Tensor | None, delta: Tensor) -> float:
    difference = (language - base).flatten()
    return similarity_of(moments(difference, positions, delta)).on_mask
