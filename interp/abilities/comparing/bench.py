"""Bench: the models of a comparison, loaded once, and the methods whose scales are chosen on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.comparators import asked_comparators
from interp.abilities.comparing.contestants import Contestant, comparison_with, transfer
from interp.abilities.comparing.parts import Weights, parts_of
from interp.abilities.comparing.trial import Trial, measure_on
from interp.abilities.comparing.tuning import Choice, choose, grid
from interp.abilities.comparing.written_transfer import (
    check_parts,
    check_settings,
    read_transfer,
    transfer_command,
)
from interp.abilities.moving.recipe import check_finite, check_share_of_tensors
from interp.abilities.moving.weights import AbilityWeights
from interp.evaluation.comparison import Row
from interp.evaluation.items import Item
from interp.evaluation.scoring import Rule
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a comparison is made of; what is None has no row."""

    base: str | Path
    ability_model: str | Path
    """Trained on the ability in one language, all entries free: for the comparators."""
    language_model: str | Path
    """The base adapted to the target languages: what gains the ability."""
    weights: AbilityWeights
    """R(A), taken from a model trained at the located entries."""
    random_weights: AbilityWeights | None = None
    """The same from a model trained at as many random entries of every tensor."""
    control: str | Path | None = None
    """Trained as the ability model, on general data: for the plain analogy."""
    ceiling: str | Path | None = None
    """Trained on the ability in the target languages."""
    comparators: Sequence[str] = ()
    """Names of comparators to show beside the standard ones."""
    transferred: str | Path | None = None
    """The transfer as `transfer` wrote it, with the scales that are chosen; without it the merge
    is made in memory."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A row of the table and the weights behind it."""

    row: Row
    weights: Weights


class Bench:
    """The candidates, loaded, and the methods that their weights make."""

    def __init__(self, candidates: Candidates, *, rule: Rule, device: str, k2: float) -> None:
        """Raises Mismatch if the ability weights, or a written transfer, are of other models."""
        check_share_of_tensors(k2)
        directory = directory_of(candidates.base)
        self.identity = model_identity(directory)
        self._candidates = candidates
        self._k2 = k2
        for weights in (candidates.weights, candidates.random_weights):
            if weights is not None and weights.base.root != self.identity.root:
                raise Mismatch(
                    f"the ability weights belong to base {weights.base.root[:12]}, and {directory} "
                    f"is {self.identity.root[:12]}: extract them again on this base"
                )
        self._written = self._written_transfer()
        self.trial = Trial(directory, rule=rule, device=device)
        refs = {
            "language": candidates.language_model,
            "ability": candidates.ability_model,
            "control": candidates.control,
        }
        self._models: dict[str, Weights] = {
            name: self.trial.weights_of(directory_of(ref))
            for name, ref in refs.items()
            if ref is not None
        }
        self.contestants = self._contestants(k2)

    def choose(
        self,
        contestants: Sequence[Contestant],
        validation: Sequence[Item],
        *,
        ability_task: str,
        targets: Sequence[str],
        settings: Sequence[Scales] | None,
        tolerance: float,
    ) -> dict[str, Choice]:
        """The scales of every contestant, on the same settings and items."""
        check_finite("tolerance", tolerance)
        measure = measure_on(validation, ability_task=ability_task, targets=targets)
        encoded = self.trial.encode(validation)
        tried = grid() if settings is None else tuple(settings)
        if not tried:
            raise BadInput("no setting to choose from: give at least one pair of scales")
        floor = measure(self.trial.answers(self._models["language"], encoded)).general - tolerance
        chosen = {}
        total = len(tried) * len(contestants)
        with progress("choosing scales", total=total, unit="settings") as advance:
            for contestant in contestants:

                def tried_on(scales: Scales, contestant: Contestant = contestant):
                    answers = self.trial.answers(self.trial.merged(contestant, scales), encoded)
                    advance(1)
                    return measure(answers)

                chosen[contestant.key] = choose(tried, tried_on, floor=floor)
        return chosen

    def models(self, choices: Mapping[str, Choice]) -> list[Tested]:
        """Every row of the table, in its order, with the weights that are tested."""
        merged = {
            c.key: self._tested(c.key, c.title, self._weights(c, choices[c.key]), choices[c.key])
            for c in self.contestants
        }
        fixed = [
            self._tested("base", "base", self.trial.base),
            self._tested("language_model", "language model alone", self._models["language"]),
            self._tested("ability_model", "ability model alone", self._models["ability"]),
        ]
        if self._candidates.ceiling is not None:
            ceiling = self.trial.weights_of(directory_of(self._candidates.ceiling))
            merged["ceiling"] = self._tested("ceiling", "ceiling", ceiling)
        return [*fixed, *merged.values()]

    def _weights(self, contestant: Contestant, choice: Choice) -> Weights:
        written = self._candidates.transferred
        if contestant.key == "transfer" and written is not None:
            command = transfer_command(
                base=self._candidates.base,
                weights="WEIGHTS",
                language=self._candidates.language_model,
                scales=choice.scales,
                k2=self._k2,
                out="OUT",
            )
            directory = directory_of(written)
            check_settings(directory, self._written, choice.scales, k2=self._k2, command=command)
            return self.trial.weights_of(directory)
        return self.trial.merged(contestant, choice.scales)

    def _written_transfer(self) -> dict[str, Any]:
        """The recipe of the transfer that is to be tested as it was written; else empty."""
        if self._candidates.transferred is None:
            return {}
        directory = directory_of(self._candidates.transferred)
        recipe = read_transfer(directory)
        check_parts(
            directory,
            recipe,
            base=self.identity.root,
            language=model_identity(directory_of(self._candidates.language_model)).root,
            ability=self._candidates.weights.digest,
        )
        return recipe

    def _tested(
        self, key: str, title: str, weights: Weights, choice: Choice | None = None
    ) -> Tested:
        row = Row(
            key=key,
            title=title,
            share_changed=self.trial.share_changed(weights),
            setting={} if choice is None else dict(choice.scales._asdict()),
        )
        return Tested(row=row, weights=weights)

    def _contestants(self, k2: float) -> list[Contestant]:
        language = self._models["language"]
        given = [
            ("transfer", "transfer of the located", self._candidates.weights),
            ("random_neurons", "transfer of a random", self._candidates.random_weights),
        ]
        transfers = [
            transfer(
                key,
                f"{title} {weights.share:.0%}",
                base=self.trial.base,
                parts=parts_of(weights),
                language=language,
                k2=k2,
            )
            for key, title, weights in given
            if weights is not None
        ]
        others = [
            comparison_with(comparator, base=self.trial.base, others=self._models)
            for comparator in asked_comparators(self._candidates.comparators)
            if comparator.needs <= self._models.keys()
        ]
        return [*transfers, *others]
