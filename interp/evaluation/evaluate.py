"""Evaluate: put the same items to several models, and test each against the first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from interp.evaluation.answering import answer_items, check_askable
from interp.evaluation.answers import Answers
from interp.evaluation.evaluation import Cell, Evaluation, Question
from interp.evaluation.items import Item, check_ids, gather_items, items_hash
from interp.evaluation.paired import PairedTest, paired_test
from interp.evaluation.protocol import Protocol
from interp.models.hub import fetch
from interp.models.identity import model_hash
from interp.models.reference import resolve
from interp.models.trainable import prompt_tokenizer, read_decoder
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance
from interp.results.significance import holm


def evaluate(
    models: Sequence[str],
    items: Sequence[Path] | Sequence[Item],
    *,
    protocol: Protocol | None = None,
    split: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 256,
) -> Evaluation:
    """Accuracy of every model by task and language, each tested against the first.

    `models` are references as `load` takes them; one is held at a time, in float32. `split`: only
    items of that split. `seed` draws the bootstrap of the paired tests.
    """
    protocol = protocol or Protocol()
    asked = gather_items(items, split=split)
    check_askable(asked, protocol)
    directories = [directory_of(model) for model in models]
    answers = []
    with progress("answering", total=len(models) * len(asked), unit="answers") as advance:
        for directory in directories:
            answers.append(
                answer_items(
                    read_decoder(directory, device=device),
                    prompt_tokenizer(directory),
                    asked,
                    protocol,
                    batch_size=batch_size,
                    advance=advance,
                )
            )
    return evaluation_of(
        models=models,
        answers=answers,
        items=asked,
        protocol=protocol,
        seed=seed,
        provenance=Provenance.collect(
            "interp ability evaluate",
            model_hash=model_hash(directories[0]),
            corpus_hash=items_hash(asked),
            seed=seed,
            settings={
                "protocol": protocol.to_json(),
                "split": split,
                "models": [model_hash(directory) for directory in directories],
            },
        ),
    )


def evaluation_of(
    *,
    models: Sequence[str],
    answers: Sequence[Answers],
    items: Sequence[Item],
    protocol: Protocol,
    seed: int,
    provenance: Provenance,
) -> Evaluation:
    """The table of answers already given, with its tests."""
    check_ids(items)
    bare = Evaluation(
        models=distinct(models),
        questions=tuple(
            Question(id=item.id, task=item.task, language=item.language, answer=item.answer)
            for item in items
        ),
        protocol=protocol,
        cells=cells_of(items, protocol),
        said=tuple(one.said for one in answers),
        correct=np.stack([one.correct for one in answers]),
        truncated=np.stack([one.truncated for one in answers]),
        margin=np.stack([one.margin for one in answers]),
        margin_per_byte=np.stack([one.margin_per_byte for one in answers]),
        tests=(),
        provenance=provenance,
    )
    return replace(bare, tests=_tests(bare, np.random.default_rng(seed)))


def cells_of(items: Sequence[Item], protocol: Protocol) -> tuple[Cell, ...]:
    """One cell a task and language, in the order in which they first stand in the items."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.task, item.language), []).append(item)
    return tuple(
        Cell(task=task, language=language, n=len(group), null=_by_chance(group, protocol))
        for (task, language), group in groups.items()
    )


def distinct(models: Sequence[str]) -> tuple[str, ...]:
    """The models' names, `#2` behind one that stands a second time."""
    if not models:
        raise BadInput("no model to evaluate: give one or several")
    named: Counter[str] = Counter()
    names = []
    for model in models:
        named[model] += 1
        names.append(model if named[model] == 1 else f"{model} #{named[model]}")
    return tuple(names)


def directory_of(model: str) -> Path:
    """The files of a model by reference, fetched if they are on the hub."""
    found = fetch(resolve(model)).path
    if found is None:
        raise BadInput(f"{model} has no files")
    return found


def _by_chance(items: Sequence[Item], protocol: Protocol) -> float:
    if protocol.is_choice:
        return float(np.mean([1 / len(set(item.choices)) for item in items]))
    same: Any = protocol.normaliser if protocol.rule == "generate" else str
    (_, commonest), *_ = Counter(same(item.answer) for item in items).most_common(1)
    return commonest / len(items)


def _tests(table: Evaluation, rng: np.random.Generator) -> tuple[PairedTest, ...]:
    tests = [
        paired_test(
            table.correct[row + 1, chosen],
            table.correct[0, chosen],
            names=(model, table.models[0]),
            column=cell.key,
            rng=rng,
        )
        for row, model in enumerate(table.models[1:])
        for cell in table.cells
        for chosen in [table.items_in(cell)]
    ]
    adjusted = holm(np.array([test.p for test in tests], dtype=np.float64))
    return tuple(replace(test, p_holm=float(p)) for test, p in zip(tests, adjusted, strict=True))
