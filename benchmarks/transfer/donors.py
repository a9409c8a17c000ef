"""Every model that a seed's comparison is made of, trained once and kept as float32 tensors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from interp.abilities.comparing.ablations import Trained
from interp.abilities.comparing.parts import Weights, parts_between
from interp.abilities.locating.locate import locate
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.training.masked_training import TrainingRecipe, train_model
from interp.models.examples import TrainingExamples, encode_examples
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.atomic import atomic_file
from probes.polyglot.examples import ability_training, general_training
from probes.polyglot.family import train_stage
from probes.polyglot.languages import AbilityRule
from probes.polyglot.recipe import Recipe

RATES = (3e-4, 1e-3)
"""Learning rates that every trained method is tried at; 3e-4 is the one of the untuned sum."""
MASKED_RATE = 1e-3
TRAINING = TrainingRecipe(steps=400, batch_size=128, warmup=30)
RANDOM_MASK_SEED = 11
N_EXAMPLES = TRAINING.steps * TRAINING.batch_size


@dataclass(frozen=True, kw_only=True)
class MaskOrder:
    """A mask to locate, or its random twin."""

    share: float
    level: str = "entry"
    random: bool = False

    @property
    def key(self) -> str:
        """Its name in files and tables."""
        return f"{'random' if self.random else 'change'}-{self.level}-{self.share:g}"


class Donors:
    """A seed's models; what is asked for twice is trained once."""

    def __init__(self, models: Path, store: Path, *, seed: int, rule: AbilityRule) -> None:
        """`models`: the family's directory; `store`: where trained tensors and masks are kept."""
        self.models = models
        self.store = store / rule
        self.store.mkdir(parents=True, exist_ok=True)
        self.seed = seed
        self.rule: AbilityRule = rule
        self.base = self._weights_of("base")
        self.language = self._weights_of("language")

    def family_member(self, variant: str) -> Weights:
        """A model of the family as it is stored."""
        return self._weights_of(variant)

    def ability(self, lr: float, *, embeddings: bool = False) -> Weights:
        """The base trained on the ability in A."""
        name = f"ability-{lr:g}" + ("-embeddings" if embeddings else "")
        return self._trained(name, "base", self._ability_data, lr=lr, embeddings=embeddings)

    def control(self, lr: float) -> Weights:
        """The base trained on general data in A for as long."""
        return self._trained(f"control-{lr:g}", "base", self._general_data, lr=lr)

    def continued(self, lr: float) -> Weights:
        """The language model trained on the ability in A."""
        return self._trained(f"continued-{lr:g}", "language", self._ability_data, lr=lr)

    def replayed(self, lr: float) -> Weights:
        """The same, its general half drawn from all five languages."""
        return self._trained(f"replay-{lr:g}", "language", self._replay_data, lr=lr)

    def reversed(self) -> Weights:
        """The ability model, then adapted to D and E by the language model's recipe."""

        def make() -> TrainableModel:
            trained = self._model("base")
            put(trained, self.ability(RATES[0]))
            stage = Recipe().language
            train_stage(trained.model, stage, seed=self.seed)  # pyright: ignore[reportArgumentType]
            return trained

        return self._kept("reverse", make)

    def ceiling(self) -> Weights:
        """The language model trained on the ability in all five languages."""
        data = lambda: self._ability_data(languages="ABCDE")  # noqa: E731
        return self._trained("ceiling", "language", data, lr=1e-3, embeddings=True)

    def everywhere(self) -> list[Trained]:
        """All entries trained, ability and control, at every rate."""
        return [
            Trained(
                ability=parts_between(self.base, self.ability(lr)),
                control=parts_between(self.base, self.control(lr)),
                label=f"{lr:g}",
            )
            for lr in RATES
        ]

    def masked(self, order: MaskOrder) -> Trained:
        """A mask's entries trained, ability and control."""
        mask = self.mask(order)
        both = [
            self._trained(f"{what}-{order.key}", "base", data, lr=MASKED_RATE, mask=mask)
            for what, data in (("ability", self._ability_data), ("control", self._general_data))
        ]
        ability, control = (parts_between(self.base, weights, mask=mask) for weights in both)
        return Trained(ability=ability, control=control)

    def mask(self, order: MaskOrder) -> NeuronMask:
        """The located mask, or its twin with the same count in every tensor (or kind and layer)."""
        path = self.store / f"mask-{order.key}"
        if not path.exists():
            if order.random:
                like = self.mask(replace(order, random=False))
                random_like(like, seed=RANDOM_MASK_SEED + self.seed).save(path)
            else:
                self._located(order).save(path)
        return NeuronMask.load(path)

    def _located(self, order: MaskOrder) -> NeuronMask:
        examples = self.store / "ability.jsonl"
        if not examples.exists():
            lines = [json.dumps(row) for row in self._ability_rows()]
            with atomic_file(examples) as temporary:
                temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return locate(
            self.models / "base",
            examples,
            share=order.share,
            level=order.level,
            split_halves=False,
        )

    def _ability_rows(self, languages: str = "A") -> list[dict[str, str]]:
        seed = 1000 * (self.seed + 1) + 2
        return ability_training(seed, n=N_EXAMPLES, languages=languages, rule=self.rule)

    def _ability_data(self, languages: str = "A") -> TrainingExamples:
        return self._encoded(self._ability_rows(languages))

    def _general_data(self) -> TrainingExamples:
        return self._encoded(general_training(1000 * (self.seed + 1) + 3, n=N_EXAMPLES))

    def _replay_data(self) -> TrainingExamples:
        seed, half = 1000 * (self.seed + 1) + 6, N_EXAMPLES // 2
        ability = ability_training(seed, n=half, ability=1.0, rule=self.rule)
        return self._encoded([*ability, *general_training(seed, n=half, languages="ABCDE")])

    def _encoded(self, rows: Sequence[dict[str, str]]) -> TrainingExamples:
        return encode_examples(rows, self._model("base").tokenizer())

    def _trained(
        self,
        name: str,
        start: str,
        data: Callable[[], TrainingExamples],
        *,
        lr: float,
        embeddings: bool = False,
        mask: NeuronMask | None = None,
    ) -> Weights:
        def make() -> TrainableModel:
            trained = self._model(start)
            recipe = replace(TRAINING, lr=lr, freeze_embeddings=not embeddings, seed=self.seed)
            train_model(trained, data(), mask=mask, recipe=recipe)
            return trained

        return self._kept(name, make)

    def _kept(self, name: str, make: Callable[[], TrainableModel]) -> Weights:
        path = self.store / f"{name}.safetensors"
        if not path.exists():
            made = make()
            tensors = {n: p.detach().contiguous() for n, p in made.parameters.items()}
            with atomic_file(path) as temporary:
                save_file(tensors, temporary)
        return load_file(path)

    def _weights_of(self, variant: str) -> Weights:
        return {n: p.detach() for n, p in self._model(variant).parameters.items()}

    def _model(self, variant: str) -> TrainableModel:
        return read_trainable(self.models / variant)


def put(trained: TrainableModel, weights: Weights) -> None:
    """Give a model these weights."""
    with torch.no_grad():
        for name, parameter in trained.parameters.items():
            parameter.copy_(weights[name])


def settings() -> dict[str, Any]:
    """What the trained tensors depend on, for the cache."""
    return {
        "rates": RATES,
        "masked_rate": MASKED_RATE,
        "training": repr(TRAINING),
        "random_mask_seed": RANDOM_MASK_SEED,
    }
