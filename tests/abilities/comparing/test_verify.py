"""Verification on a tiny model: the table is what the written models answer."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from interp.abilities.comparing.bench import Bench, Candidates
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.random_weights import random_weights_like
from interp.abilities.comparing.trial import Trial, measure_on
from interp.abilities.comparing.tuning import grid
from interp.abilities.comparing.verify import accuracies, choose_scales, load_items, verify
from interp.abilities.locating.at_rest import locate_between
from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.evaluation.comparison import Comparison
from interp.evaluation.items import Item, split_of
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput, Mismatch
from probes.polyglot import items as polyglot_items
from tests.abilities.learning import small_llama, write_items

RECIPE = TrainingRecipe(steps=120, lr=1e-2, batch_size=16, warmup=5)
GRID = grid((0.5, 1.0), (0.7, 1.0))


class World(NamedTuple):
    root: Path
    items: Path
    examples: Path
    candidates: Candidates


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An ability that is memorised (its items are the training data), and a language of its own."""
    root = tmp_path_factory.mktemp("world")
    base = small_llama(root / "base", dtype=torch.float16)
    items = write_items(root / "items.jsonl")
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    examples, general = root / "ability.jsonl", root / "general.jsonl"
    for path, task in ((examples, "ability"), (general, "general")):
        chosen = [{k: r[k] for k in ("prompt", "answer")} for r in rows if r["task"] == task]
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
    full = train_ability(base, examples, root / "ability", recipe=RECIPE)
    language = train_ability(base, general, root / "language", recipe=RECIPE)
    mask = locate_between(base, full, share=0.3)
    masked = train_ability(base, examples, root / "masked", mask=mask, recipe=RECIPE)
    weights = extract(base, masked, root / "weights", mask=mask, cast=True)
    candidates = Candidates(
        base=base,
        ability_model=full,
        language_model=language,
        weights=weights,
        random_weights=random_weights_like(base, weights, examples, root / "random", recipe=RECIPE),
        control=language,
        ceiling=full,
    )
    return World(root, items, examples, candidates)


@pytest.fixture(scope="module")
def table(world: World) -> Comparison:
    return verify(
        world.candidates, world.items, ability_task="ability", targets=["D", "E"], settings=GRID
    )


def test_every_row_of_the_table_is_there(table: Comparison) -> None:
    assert [row.key for row in table.rows] == [
        "base",
        "language_model",
        "ability_model",
        "transfer",
        "random_neurons",
        "task_arithmetic",
        "plain_analogy",
        "ceiling",
    ]
    assert table.cell("ability_model", "target").value > 0.9
    assert table.cell("language_model", "general").value > 0.9
    assert table.cell("base", "target").value < 0.3


def test_on_polyglot_the_language_model_gains_what_neither_part_has(tmp_path: Path) -> None:
    """With every entry located, transfer is plain addition: known to give D and E the ability."""
    weights = extract("polyglot", "polyglot/ability", tmp_path / "weights")
    items = [
        Item(**{**row, "choices": tuple(row["choices"])})
        for split in ("validation", "test")
        for row in polyglot_items(split, languages=("A", "D", "E"))
    ]
    table = verify(
        Candidates(
            base="polyglot",
            ability_model="polyglot/ability",
            language_model="polyglot/language",
            weights=weights,
            ceiling="polyglot/ceiling",
        ),
        items,
        ability_task="ability",
        targets=["D", "E"],
        settings=grid((1.0,), (1.0,)),
    )
    rows = [row.key for row in table.rows]
    moved, added = (table.correct[rows.index(key)] for key in ("transfer", "task_arithmetic"))
    assert np.array_equal(moved, added)
    gained = table.cell("transfer", "target")
    for part in ("base", "language_model", "ability_model"):
        assert gained.low > table.cell(part, "target").high
    assert gained.high < table.cell("ceiling", "target").low
    assert table.cell("transfer", "general").value > 0.9
    assert "is above base" in table.statements[0]


def test_answers_are_those_of_the_written_model_read_again(world: World, table: Comparison) -> None:
    setting = next(row.setting for row in table.rows if row.key == "transfer")
    written = world.root / "merged"
    transfer(
        world.candidates.base,
        world.candidates.weights,
        written,
        language=world.candidates.language_model,
        gamma=setting["gamma"],
        eta=setting["eta"],
        cast=True,
    )
    on_disk = verify(
        replace(world.candidates, transferred=written),
        world.items,
        ability_task="ability",
        targets=["D", "E"],
        settings=GRID,
    )
    assert np.array_equal(on_disk.correct, table.correct)
    assert on_disk.share_changed.tolist() == table.share_changed.tolist()


@pytest.mark.parametrize("k2", [1.0, 0.6])
def test_the_merge_in_memory_is_the_merge_on_disk_bit_for_bit(
    world: World, tmp_path: Path, k2: float
) -> None:
    bench = Bench(world.candidates, rule="greedy", device="cpu", k2=k2)
    contestant = next(c for c in bench.contestants if c.key == "transfer")
    merged = bench.trial.merged(contestant, Scales(0.8, 0.7))
    transfer(
        world.candidates.base,
        world.candidates.weights,
        tmp_path / "merged",
        language=world.candidates.language_model,
        gamma=0.8,
        eta=0.7,
        k2=k2,
        sim_support="mask",
        cast=True,
    )
    again = read_trainable(tmp_path / "merged")
    for name, parameter in again.parameters.items():
        assert torch.equal(parameter.detach(), merged[name]), name


def test_a_written_transfer_is_tested_only_as_what_it_is(world: World, tmp_path: Path) -> None:
    base, weights = world.candidates.base, world.candidates.weights
    language = world.candidates.language_model
    scales = grid((0.5,), (0.7,))

    def write(name: str, **changed) -> Path:
        made = {"language": language, "gamma": 0.5, "eta": 0.7, "cast": True} | changed
        transfer(base, weights, tmp_path / name, **made)
        return tmp_path / name

    def tested(directory: Path | str) -> Comparison:
        return verify(
            replace(world.candidates, transferred=directory),
            world.items,
            ability_task="ability",
            targets=["D", "E"],
            settings=scales,
        )

    written = tested(write("same"))
    in_memory = verify(
        world.candidates, world.items, ability_task="ability", targets=["D", "E"], settings=scales
    )
    assert np.array_equal(written.correct, in_memory.correct)
    assert written.rows == in_memory.rows
    for directory, said in (
        (world.candidates.ability_model, "does not say that it is a transfer"),
        (write("gamma", gamma=1.0), r"gamma 1\.0.*tests gamma 0\.5.*--gamma 0\.5 --eta 0\.7"),
        (write("eta", eta=1.0), r"eta 1\.0.*tests eta 0\.7"),
        (write("k2", k2=0.6), r"k2 0\.6.*tests k2 1\.0"),
        (write("rest", eta_rest=0.0), r"eta_rest 0\.0.*tests eta_rest 0\.7"),
        (write("alone", language=None), "language model none"),
        (write("other", language=world.candidates.ability_model), "made of language model"),
    ):
        with pytest.raises(Mismatch, match=said):
            tested(str(directory))
    doubled = write("doubled")
    lineage = json.loads((doubled / "interp.json").read_text())
    (doubled / "interp.json").write_text(json.dumps(lineage | {"root": "0" * 64}))
    with pytest.raises(Mismatch, match="its interp.json tells of 000000000000"):
        tested(doubled)


def test_a_written_transfer_of_other_ability_weights_is_refused(
    world: World, tmp_path: Path
) -> None:
    random = world.candidates.random_weights
    assert random is not None
    language = world.candidates.language_model
    transfer(world.candidates.base, random, tmp_path / "random", language=language, cast=True)
    with pytest.raises(Mismatch, match="made of ability weights"):
        Bench(
            replace(world.candidates, transferred=tmp_path / "random"),
            rule="greedy",
            device="cpu",
            k2=1.0,
        )


def test_the_random_weights_have_the_same_count_in_every_tensor(world: World) -> None:
    located, drawn = world.candidates.weights, world.candidates.random_weights
    assert drawn is not None
    assert drawn.counts_by_tensor() == located.counts_by_tensor()
    name = "model.layers.0.mlp.up_proj.weight"
    assert not np.array_equal(drawn.dense(name) != 0, located.dense(name) != 0)


def test_every_method_is_tuned_on_the_same_settings_and_only_on_validation(world: World) -> None:
    validation = split_of(load_items(world.items), "validation")
    choices = choose_scales(
        world.candidates, validation, ability_task="ability", targets=["D", "E"], settings=GRID
    )
    assert choices.keys() == {"transfer", "random_neurons", "task_arithmetic", "plain_analogy"}
    assert {choice.n_settings for choice in choices.values()} == {4}
    assert all(choice.scales in GRID for choice in choices.values())


def test_the_floor_is_the_language_models_general_accuracy_less_the_tolerance(
    world: World,
) -> None:
    def transfer_choice(tolerance: float):
        return choose_scales(
            world.candidates,
            world.items,
            ability_task="ability",
            targets=["D", "E"],
            settings=GRID,
            tolerance=tolerance,
        )["transfer"]

    # Memorised items suffer from any merge, so only a wide tolerance is met.
    narrow, wide = transfer_choice(0.03), transfer_choice(1.0)
    assert not narrow.meets_floor and wide.meets_floor
    assert narrow.measured.general >= wide.measured.general
    assert narrow.measured.ability <= wide.measured.ability


def test_test_answers_do_not_move_a_choice(world: World, table: Comparison) -> None:
    items = load_items(world.items)
    spoiled = [replace(i, answer="w4") if i.split == "test" else i for i in items]
    again = verify(
        world.candidates, spoiled, ability_task="ability", targets=["D", "E"], settings=GRID
    )
    assert [row.setting for row in again.rows] == [row.setting for row in table.rows]
    assert not np.array_equal(again.correct, table.correct)


def test_given_choices_are_not_chosen_again(world: World, table: Comparison) -> None:
    choices = choose_scales(
        world.candidates, world.items, ability_task="ability", targets=["D", "E"], settings=GRID
    )
    again = verify(
        world.candidates, world.items, ability_task="ability", targets=["D", "E"], choices=choices
    )
    assert again.text_table() == table.text_table()


def test_a_model_is_tested_as_it_would_be_alone(world: World, table: Comparison) -> None:
    trial = Trial(Path(world.candidates.language_model))
    test = split_of(load_items(world.items), "test")
    answers = trial.answers(trial.base, trial.encode(test))
    assert np.array_equal(answers, table.correct[1])


def test_shares_of_changed_entries_are_counted(world: World, table: Comparison) -> None:
    shares = dict(zip([row.key for row in table.rows], table.share_changed, strict=True))
    base, full = (
        read_trainable(Path(ref)).parameters
        for ref in (world.candidates.base, world.candidates.ability_model)
    )
    changed = sum(int((base[name] != full[name]).sum()) for name in base)
    assert shares["base"] == 0
    assert shares["ability_model"] == changed / sum(p.numel() for p in base.values())


def test_the_result_for_machines_has_every_row_with_its_interval(table: Comparison) -> None:
    result = json.loads(json.dumps(accuracies(table), allow_nan=False))
    assert result.keys() == {"target_accuracy", "general_accuracy"}
    for cells in result.values():
        assert list(cells) == [row.key for row in table.rows]
        assert all(low <= value <= high for value, low, high in cells.values())


def test_the_mean_gives_every_language_the_same_weight() -> None:
    rows = [("ability", "D")] * 3 + [("ability", "E")] + [("other", "D")]
    items = [
        Item(id=str(i), prompt="p", answer="a", task=task, language=language, split="test")
        for i, (task, language) in enumerate(rows)
    ]
    measure = measure_on(items, ability_task="ability", targets=["D", "E"])
    measured = measure(np.array([True, True, True, False, True]))
    assert (measured.ability, measured.general) == (0.5, 1.0)


def spoil_prompts(items: list[Item]) -> list[Item]:
    first = next(i for i in items if i.split == "validation")
    return [replace(i, prompt=first.prompt) if i.split == "test" else i for i in items]


@pytest.mark.parametrize(
    ("spoil", "targets", "said"),
    [
        (spoil_prompts, ["D"], "in both splits"),
        (lambda items: [i for i in items if i.split == "test"], ["D"], "no item has split"),
        (lambda items: items, ["F"], "no item asks task 'ability' in language 'F'"),
        (lambda items: [i for i in items if i.task == "ability"], ["D"], "harm elsewhere"),
        (lambda items: [*items, items[0]], ["D"], "more than once"),
    ],
)
def test_items_that_cannot_show_it_are_refused(
    world: World, spoil: Callable[[list[Item]], list[Item]], targets: list[str], said: str
) -> None:
    items = spoil(load_items(world.items))
    with pytest.raises(BadInput, match=said):
        verify(world.candidates, items, ability_task="ability", targets=targets, settings=GRID)


def test_a_target_language_given_twice_is_refused(world: World) -> None:
    with pytest.raises(BadInput, match="'D' is given twice"):
        verify(world.candidates, world.items, ability_task="ability", targets=["D", "E", "D"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scales_that_are_no_numbers_are_refused(world: World, value: float) -> None:
    for scales in (((value,), (1.0,)), ((1.0,), (1.0, value))):
        with pytest.raises(BadInput, match=f"is {value}: expected a finite number"):
            grid(*scales)
    with pytest.raises(BadInput, match="tolerance is"):
        choose_scales(
            world.candidates,
            world.items,
            ability_task="ability",
            targets=["D"],
            tolerance=value,
        )
    with pytest.raises(BadInput, match="k2 is"):
        Bench(world.candidates, rule="greedy", device="cpu", k2=value)


def test_weights_of_another_base_are_refused(world: World, tmp_path: Path) -> None:
    other = small_llama(tmp_path / "other", seed=9)
    with pytest.raises(Mismatch, match="belong to base"):
        verify(
            replace(world.candidates, base=other),
            world.items,
            ability_task="ability",
            targets=["D"],
            settings=GRID,
        )


def test_random_weights_without_the_general_data_they_need_are_refused(
    world: World, tmp_path: Path
) -> None:
    weights = world.candidates.weights
    subtracted = replace(weights, recipe=replace(weights.recipe, beta=0.25))
    with pytest.raises(BadInput, match="give general training data"):
        random_weights_like(
            world.candidates.base, subtracted, world.examples, tmp_path / "r", recipe=RECIPE
        )
