"""Trial: swap weights into one model and see what it gets right, many times over."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant
from interp.abilities.comparing.parts import Weights
from interp.abilities.comparing.tuning import Measured
from interp.abilities.streaming.numbers import FLOATS
from interp.evaluation.items import Item
from interp.evaluation.scoring import EncodedItems, Rule, correct, encode_items
from interp.models.trainable import TrainableModel, read_trainable
from interp.models.weight_files import locate_tensors
from interp.results.errors import BadInput, Mismatch


class Trial:
    """One model whose weights are replaced for every contestant, and the base they come from."""

    def __init__(self, directory: Path, *, rule: Rule = "greedy", device: str = "cpu") -> None:
        """`rule`: how items are scored; `device`: where the model runs."""
        self.trained: TrainableModel = read_trainable(directory, device=device)
        self.tokenizer = self.trained.tokenizer()
        self.rule: Rule = rule
        self.base: Weights = {
            name: p.detach().cpu().clone() for name, p in self.trained.parameters.items()
        }
        spans = locate_tensors(directory)
        self._stored_as = {name: FLOATS[spans[name].dtype] for name in self.base}

    def weights_of(self, directory: Path) -> Weights:
        """Another model's tensors in float32. Raises Mismatch unless they are the base's own."""
        other = read_trainable(directory)
        shapes = {name: tuple(p.shape) for name, p in other.parameters.items()}
        if shapes != {name: tuple(t.shape) for name, t in self.base.items()}:
            raise Mismatch(f"{directory} does not have the tensors of {self.trained.directory}")
        return {name: p.detach() for name, p in other.parameters.items()}

    def encode(self, items: Sequence[Item]) -> EncodedItems:
        """Items as this model reads them."""
        return encode_items(items, self.tokenizer, rule=self.rule)

    def merged(self, contestant: Contestant, scales: Scales) -> Weights:
        """A contestant's whole model, rounded once to the base's number format."""
        return {
            name: contestant.tensor(name, scales).to(dtype).float()
            for name, dtype in self._stored_as.items()
        }

    @torch.no_grad()
    def answers(self, weights: Weights, items: EncodedItems) -> Bool[np.ndarray, " items"]:
        """What the model gets right with these weights."""
        for name, parameter in self.trained.parameters.items():
            parameter.copy_(weights[name])
        return correct(self.trained.model, items, rule=self.rule)

    def share_changed(self, weights: Weights) -> float:
        """Share of entries whose value differs from the base's."""
        changed = sum(int((weights[name] != self.base[name]).sum()) for name in self.base)
        return changed / sum(tensor.numel() for tensor in self.base.values())


def measure_on(
    items: Sequence[Item], *, ability_task: str, targets: Sequence[str]
) -> Callable[[Bool[np.ndarray, " items"]], Measured]:
    """A function from answers to mean accuracy over languages, on the ability and on the rest.

    Raises BadInput if a target language is given twice or has no item of the ability, or nothing
    else is asked.
    """
    doubled = sorted({language for language in targets if targets.count(language) > 1})
    if doubled:
        raise BadInput(f"target language {doubled[0]!r} is given twice: it would count twice")
    ability = _by_language(items, lambda item: item.task == ability_task)
    missing = [language for language in targets if language not in ability]
    general = _by_language(items, lambda item: item.task != ability_task)
    if missing:
        tasks = ", ".join(sorted({item.task for item in items}))
        raise BadInput(
            f"no item asks task {ability_task!r} in language {missing[0]!r}: the tasks are {tasks}"
        )
    if not general:
        raise BadInput(f"every item asks task {ability_task!r}: harm elsewhere needs other tasks")

    def measure(answers: Bool[np.ndarray, " items"]) -> Measured:
        return Measured(
            ability=_mean([answers[ability[language]] for language in targets]),
            general=_mean([answers[rows] for rows in general.values()]),
        )

    return measure


def _by_language(
    items: Sequence[Item], asked: Callable[[Item], bool]
) -> dict[str, Bool[np.ndarray, " items"]]:
    of_task = np.array([asked(item) for item in items], dtype=bool)
    languages = np.array([item.language for item in items])
    rows = {lang: of_task & (languages == lang) for lang in sorted(set(languages.tolist()))}
    return {language: chosen for language, chosen in rows.items() if chosen.any()}


def _mean(groups: Sequence[Bool[np.ndarray, "..."]]) -> float:
    return float(np.mean([group.mean() for group in groups]))
