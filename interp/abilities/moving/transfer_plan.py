"""What a transfer adds where: which tensors are selected, and every tensor's coefficients."""

from collections.abc import Sequence
from dataclasses import dataclass

from interp.abilities.moving.ability_chunks import AbilityChunks
from interp.abilities.moving.addition import Addition, Tally, TensorTerms
from interp.abilities.moving.compatibility import is_float
from interp.abilities.moving.likeness import stream_similarity
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.moving.recipe import TransferRecipe
from interp.abilities.moving.similarity import Similarity, select_tensors, selection_null
from interp.abilities.moving.transferred import SelectionNull
from interp.abilities.streaming.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """What is added, before it is decided where."""

    base: Checkpoint
    abilities: list[AbilityChunks]
    languages: list[Checkpoint]
    recipe: TransferRecipe
    left_out: frozenset[str]
    saturate: bool

    def similarities(self, *, chunk: int, threads: int) -> tuple[dict[str, Similarity], ...]:
        """Every ability's likeness to the language weights, if the selection asks for it."""
        recipe = self.recipe
        if recipe.k2 >= 1.0 or recipe.select == "none" or not any(recipe.mu):
            return tuple({} for _ in self.abilities)
        languages = list(zip(recipe.mu, self.languages, strict=True))
        return tuple(
            stream_similarity(self.base, ability, languages, chunk=chunk, threads=threads)
            for ability in self.abilities
        )

    def selected(self, similarity: Sequence[dict[str, Similarity]]) -> tuple[tuple[str, ...], ...]:
        """The tensors that each ability is added to."""
        recipe = self.recipe
        return tuple(
            select_tensors(
                {name: one.cosine(recipe.sim_support) for name, one in alike.items()},
                k2=recipe.k2,
                select=recipe.select,
                absolute=recipe.sim_absolute,
                seed=recipe.seed,
            )
            if alike
            else tuple(sorted(name for name, n in ability.weights.counts_by_tensor().items() if n))
            for alike, ability in zip(similarity, self.abilities, strict=True)
        )

    def null(
        self, selected: Sequence[Sequence[str]], similarity: Sequence[dict[str, Similarity]]
    ) -> tuple[SelectionNull | None, ...]:
        """For every ability what random tensors matched for size have for a mean cosine."""
        return tuple(
            selection_null(
                {name: one.cosine(self.recipe.sim_support) for name, one in alike.items()},
                names,
                seed=self.recipe.seed,
            )
            for names, alike in zip(selected, similarity, strict=True)
        )

    def terms(self, selected: Sequence[Sequence[str]]) -> dict[str, TensorTerms]:
        """The coefficients of every tensor."""
        recipe = self.recipe
        chosen = [set(names) - self.left_out for names in selected]
        terms = {}
        for name, span in self.base.spans.items():
            if not is_float(span) or name in self.left_out:
                continue
            eta = recipe.eta if any(name in names for names in chosen) else recipe.eta_rest
            terms[name] = TensorTerms(
                gamma=tuple(
                    gamma if name in names else 0.0
                    for gamma, names in zip(recipe.gamma, chosen, strict=True)
                ),
                language=tuple(eta * mu for mu in recipe.mu),
            )
        return terms

    def addition(
        self, selected: Sequence[Sequence[str]], files: ModelFiles, *, patched: bool
    ) -> Addition:
        """The sum to write, once it is known which tensors are selected."""
        return Addition(
            base=self.base,
            abilities=self.abilities,
            languages=self.languages,
            terms=self.terms(selected),
            dtype=files.dtype,
            patched=patched,
            starts=files.starts,
            keeps_originals=False,
            saturated=Tally() if self.saturate else None,
        )
