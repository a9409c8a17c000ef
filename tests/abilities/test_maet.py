"""MAET whole: its parts are what the single commands make, and are made again only when due."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from interp.abilities.comparing.ablation_table import TUNED, ablation_table, gather_materials
from interp.abilities.maet import MaetRecipe, maet, train_twins
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.stages import Stages
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.models.identity import model_identity
from interp.results.errors import BadInput, CorruptFile
from tests.abilities.learning import small_llama, write_items

TRAINING = TrainingRecipe(steps=60, lr=1e-2, batch_size=16, warmup=5)
RECIPE = MaetRecipe(share=0.3, warm_up=TRAINING, training=TRAINING, beta=0.25, k2=0.8, seed=3)


class World(NamedTuple):
    base: Path
    language: Path
    ability: Path
    general: Path
    items: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    base = small_llama(root / "base")
    items = write_items(root / "items.jsonl")
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    files = {}
    for task in ("ability", "general"):
        chosen = [{k: r[k] for k in ("prompt", "answer")} for r in rows if r["task"] == task]
        files[task] = root / f"{task}.jsonl"
        files[task].write_text("".join(json.dumps(row) + "\n" for row in chosen))
    language = train_ability(base, files["general"], root / "language", recipe=TRAINING)
    return World(base, language, files["ability"], files["general"], items)


def test_the_whole_is_the_sum_of_its_commands(world: World, tmp_path: Path) -> None:
    parts = maet(
        world.base,
        world.ability,
        world.general,
        tmp_path / "out",
        languages=[world.language],
        recipe=RECIPE,
    )
    assert parts.mask is not None
    mask = NeuronMask.load(parts.mask)
    weights = extract(
        world.base,
        parts.ability,
        tmp_path / "weights",
        general=parts.control,
        mask=mask,
        beta=0.25,
        cast=True,
    )
    assert set(weights.tensors) == {n for n, s in mask.tensors.items() if s.count}
    merged = transfer(
        world.base, weights, tmp_path / "model", language=world.language, k2=0.8, seed=3
    )
    assert merged.n == model_identity(world.base).n
    assert model_identity(parts.model).root == model_identity(tmp_path / "model").root


def test_only_what_depends_on_a_setting_is_made_again(world: World, tmp_path: Path) -> None:
    def run(**changes) -> dict[str, int]:
        recipe = MaetRecipe(**{**RECIPE.__dict__, **changes})
        out = tmp_path / "out"
        maet(world.base, world.ability, world.general, out, recipe=recipe)
        parts = ("mask", "ability", "control", "weights", "model")
        return {name: (out / name).stat().st_ino for name in parts}

    first = run()
    assert run() == first
    scaled = run(gamma=0.5)
    assert {n for n in first if first[n] != scaled[n]} == {"model"}
    less_control = run(gamma=0.5, beta=0.5)
    assert {n for n in first if scaled[n] != less_control[n]} == {"weights", "model"}
    assert set(run(share=0.1).items()).isdisjoint(less_control.items())


def test_a_directory_of_something_else_is_not_touched(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(BadInput, match="not of this command"):
        Stages(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"schema": "interp.stages/1", "sta',
        b"\xff\xfe",
        "[]",
        '{"stages": {}}',
        '{"schema": "interp.stages/2", "stages": {}}',
        '{"schema": "interp.stages/1"}',
        '{"schema": "interp.stages/1", "stages": {"mask": 1}}',
    ],
)
def test_a_damaged_record_of_stages_is_named(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "stages.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorruptFile, match=re.escape(str(file))):
        Stages(tmp_path)


def test_a_stage_that_fails_is_made_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path / "out")

    def fails(path: Path) -> None:
        path.mkdir()
        raise BadInput("no")

    with pytest.raises(BadInput, match="no"):
        stages.made("part", [1], fails)
    made = []
    Stages(tmp_path / "out").made("part", [1], made.append)
    assert made == [tmp_path / "out" / "part"]


def test_the_ablation_table_asks_every_row_and_names_its_settings(
    world: World, tmp_path: Path
) -> None:
    trial, materials = gather_materials(
        tmp_path / "out",
        world.base,
        world.ability,
        world.general,
        language=world.language,
        recipe=RECIPE,
    )
    asked = {"ability_task": "ability", "targets": ["D", "E"], "n_settings": 16}
    table = ablation_table(trial, materials, world.items, **asked)
    keys = [row.key for row in table.rows]
    assert keys[:3] == ["base", "language_model", "maet"]
    assert {"no_selection", "no_language", "random_entries", "plain_addition"} <= set(keys)
    setting = {row.key: row.setting for row in table.rows}
    assert setting["no_language"]["eta"] == 0.0
    assert setting["plain_addition"]["beta"] == 0.0
    assert setting["no_selection"]["k2"] == 1.0
    assert table.correct.shape == (len(keys), len(table.item_ids))
    few = ablation_table(trial, materials, world.items, only=TUNED, **asked)
    same = [keys.index(row.key) for row in few.rows]
    np.testing.assert_array_equal(few.correct, table.correct[same])


@pytest.mark.parametrize("train_all", [False, True])
def test_random_entries_are_trained_as_the_located_ones(
    world: World, tmp_path: Path, train_all: bool
) -> None:
    recipe = replace(RECIPE, train_all=train_all)
    given = (Stages(tmp_path / "out"), world.base, world.ability, world.general)
    located = train_twins(*given, recipe=recipe)
    random = train_twins(*given, recipe=recipe, random=True)
    assert located.mask != random.mask
    assert (located.ability == random.ability) is train_all
    assert (located.control == random.control) is train_all


def test_nothing_located_has_no_ablations(world: World, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="locates nothing"):
        gather_materials(
            tmp_path,
            world.base,
            world.ability,
            world.general,
            language=world.language,
            recipe=MaetRecipe(share=1.0),
        )
