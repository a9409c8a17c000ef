"""A level of ranking: what scores are taken of, how they are chosen from and compared.

`EntryRanking` ranks single entries, `UnitRanking` neurons, heads, layers or tensors. Both score a
sample of training examples, choose a share by the scores, and say what the largest weights would
have been chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.evidence import gather_evidence
from interp.abilities.locating.locator import Locator, UnitEvidence, given
from interp.abilities.locating.locators import locator_named
from interp.abilities.locating.ranked import tensors_ranked, unit_noise
from interp.abilities.masks.selection import Scope, Selection, select_by
from interp.abilities.streaming.topk import scores_of_arrays
from interp.abilities.training.masked_training import TrainingRecipe
from interp.abilities.units.unit_choice import SharedKeys
from interp.abilities.units.unit_scores import UnitScore, unit_scores
from interp.abilities.units.unit_selection import choice_of, selection_of
from interp.abilities.units.units import Layout, layout_of
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.results.errors import BadInput, Unsupported

Scored = Mapping[str, Float[Tensor, "..."]]
Progress = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What scores are computed from, the same for every sample of examples."""

    trained: TrainableModel
    general: TrainingExamples | None
    languages: Mapping[str, TrainingExamples] = field(default_factory=dict)
    """Text by language, for locators that need `activation_rates`."""
    language: str | None = None
    """The one that is asked for."""
    recipe: TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class EntryRanking:
    """Single entries of the named tensors."""

    locator: Locator
    sources: Sources
    names: list[str]
    share: float
    scope: Scope

    def score(self, examples: TrainingExamples, on_progress: Progress | None = None) -> Scored:
        """The locator's score of every entry."""
        return score_tensors(
            self.sources.trained,
            self.locator,
            names=self.names,
            examples=examples,
            general=self.sources.general,
            recipe=self.sources.recipe,
            on_progress=on_progress,
        )

    def choose(self, scores: Scored) -> Selection:
        """The share with the highest scores."""
        return select_by(self.locator, scores, share=self.share, scope=self.scope)

    def by_magnitude(self) -> Selection:
        """As large a share by the size of the weights."""
        magnitude, sizes = locator_named("magnitude"), weight_sizes(self.sources, self.names)
        return select_by(magnitude, sizes, share=self.share, scope=self.scope)

    def compared(self, scores: Scored) -> dict[str, np.ndarray]:
        """The scores of matrices, for a rank correlation: vectors have another scale."""
        return {name: s.cpu().numpy() for name, s in scores.items() if s.ndim > 1}


@dataclass(frozen=True, kw_only=True)
class UnitRanking:
    """Neurons, heads, layers or tensors, by their own scores or by those of their entries."""

    locator: Locator
    sources: Sources
    layout: Layout
    kind: str
    names: list[str]
    """The tensors whose entries count for the units."""
    share: float
    scope: Scope
    how: UnitScore
    kv: SharedKeys

    def score(
        self, examples: TrainingExamples, on_progress: Progress | None = None
    ) -> Float[np.ndarray, "row unit"]:
        """The score of every unit, float32."""
        if self.locator.score_units is not None:
            evidence = self._evidence(examples, on_progress)
            scores = given(self.locator.score_units)(evidence)
            if self.kind in scores:
                return np.asarray(scores[self.kind], dtype=np.float32)
            if self.locator.score is None:
                raise Unsupported(
                    f"locator {self.locator.name!r} scores {', '.join(scores)}: "
                    f"no level {self.kind!r}"
                )
        return self._over_entries(
            score_tensors(
                self.sources.trained,
                self.locator,
                names=self.names,
                examples=examples,
                general=self.sources.general,
                recipe=self.sources.recipe,
                on_progress=on_progress,
            )
        )

    def choose(self, scores: Float[np.ndarray, "row unit"]) -> Selection:
        """The share with the highest scores."""
        return self._choose(scores, lowest=self.locator.lowest)

    def by_magnitude(self) -> Selection:
        """As large a share by the size of the weights."""
        sizes = weight_sizes(self.sources, self.names)
        return self._choose(self._over_entries(sizes), lowest=False)

    def compared(self, scores: Float[np.ndarray, "row unit"]) -> dict[str, np.ndarray]:
        """The scores of units that are ranked, for a rank correlation."""
        return {self.kind: scores[~np.isnan(scores)]}

    def _choose(self, scores: Float[np.ndarray, "row unit"], *, lowest: bool) -> Selection:
        return selection_of(
            choice_of(
                self.layout,
                self.kind,
                scores,
                share=self.share,
                scope=self.scope,
                lowest=lowest,
                kv=self.kv,
            )
        )

    def _over_entries(self, scores: Scored) -> Float[np.ndarray, "row unit"]:
        arrays = {name: s.detach().float().cpu().numpy() for name, s in scores.items()}
        pieces = scores_of_arrays(arrays)
        return unit_scores(self.layout, self.kind, arrays, pieces, how=self.how)

    def _evidence(self, examples: TrainingExamples, on_progress: Progress | None) -> UnitEvidence:
        if self.locator.needs == {"noise"}:
            seed = self.sources.recipe.seed
            noise = unit_noise(self.layout, self.kind, self.names, seed=seed)
            return UnitEvidence(noise={self.kind: noise})
        # Reads activations and learns gates, which needs the whole model to run.
        from interp.abilities.locating.unit_evidence import gather_unit_evidence

        return gather_unit_evidence(
            self.sources.trained,
            self.locator,
            kind=self.kind,
            examples=examples,
            general=self.sources.general,
            languages=self.sources.languages,
            language=self.sources.language,
            recipe=self.sources.recipe,
            share=self.share,
            on_progress=on_progress,
        )


def ranking_of(
    locator: Locator,
    sources: Sources,
    *,
    level: str,
    share: float,
    scope: Scope,
    rank_embeddings: bool,
    how: UnitScore,
    kv: SharedKeys,
) -> EntryRanking | UnitRanking:
    """The ranking of a level of the model in `sources`: "entry" or a kind of unit."""
    trained = sources.trained
    if level == "entry":
        tables = frozenset() if rank_embeddings else trained.embeddings
        names = [name for name in sorted(trained.parameters) if name not in tables]
        return EntryRanking(locator=locator, sources=sources, names=names, share=share, scope=scope)
    layout, known = layout_of(trained.directory), set(trained.parameters)
    return UnitRanking(
        locator=locator,
        sources=sources,
        layout=layout,
        kind=level,
        names=tensors_ranked(layout, level, with_groups=rank_embeddings, known=known),
        share=share,
        scope=scope,
        how=how,
        kv=kv,
    )


def weight_sizes(sources: Sources, names: list[str]) -> dict[str, Any]:
    """|θ| of the named tensors."""
    return {name: sources.trained.parameters[name].detach().abs() for name in names}


def score_tensors(
    trained: TrainableModel,
    locator: Locator,
    *,
    names: list[str],
    examples: TrainingExamples,
    general: TrainingExamples | None = None,
    recipe: TrainingRecipe,
    on_progress: Progress | None = None,
) -> dict[str, Float[Tensor, "..."]]:
    """The locator's score of every entry of the named tensors; the model is left as it was."""
    if locator.score is None:
        raise BadInput(f"locator {locator.name!r} scores no entries: give a level of units")
    evidence = gather_evidence(
        trained,
        locator,
        names=names,
        examples=examples,
        general=general,
        recipe=recipe,
        on_progress=on_progress,
    )
    return {name: locator.score(evidence[name]) for name in names}
