"""An alignment from files to files: masks, budget, resume, and what is refused before any work."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interp.abilities.allo import sequence
from interp.abilities.allo.align import align
from interp.abilities.allo.log_probs import reference_log_probs
from interp.abilities.allo.pairs import PreferencePair, encode_pairs
from interp.abilities.allo.stages import PRESETS, STAGES, AlloRecipe, StageRecipe
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.lineage import Lineage
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput, CorruptFile, Mismatch
from probes.polyglot import items
from tests.abilities.allo.preferences import write_pairs
from tests.abilities.learning import small_llama, write_examples

SMALL = StageRecipe(stage="warmup", steps=6, lr=3e-3, batch_size=6)
RECIPE = AlloRecipe(
    stages=(
        SMALL,
        replace(SMALL, stage="forget", share=0.05, weight_decay=0.1),
        replace(SMALL, stage="learn", share=0.1, epsilon=0.4, weight_decay=0.1),
    )
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, pairs, and the base aligned to them."""
    place = tmp_path_factory.mktemp("align")
    small_llama(place / "base", num_hidden_layers=1)
    write_pairs(place / "pairs.jsonl")
    align(place / "base", place / "pairs.jsonl", place / "whole", recipe=RECIPE)
    return place


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def test_entries_of_both_masks_move_and_no_other(place: Path) -> None:
    before, after = weights(place / "base"), weights(place / "whole")
    masks = [NeuronMask.load(place / "whole" / "masks" / name) for name in ("forget", "learn")]
    n = sum(tensor.numel() for tensor in before.values())
    assert [mask.count for mask in masks] == [int(0.05 * n), int(0.1 * n)]
    for name, tensor in before.items():
        free = masks[0].dense(name) | masks[1].dense(name)
        same = tensor.view(torch.int32) == after[name].view(torch.int32)
        assert bool(same[~torch.from_numpy(free)].all()), name
    # The smaller mask is the head of the larger one: one warm-up ranks once.
    for name in before:
        assert not (masks[0].dense(name) & ~masks[1].dense(name)).any()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_every_update_is_logged_and_counted(place: Path) -> None:
    log = (place / "whole" / "alignment.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["stage"] for line in lines] == [
        *["warmup"] * 6, *["forget"] * 6, *["learn"] * 6
    ]  # fmt: skip
    assert all(line["loss"] > 0 for line in lines)
    assert not (place / "whole.unfinished").exists()


def test_the_lineage_names_the_base_the_recipe_and_the_masks(place: Path) -> None:
    lineage = Lineage.load(place / "whole")
    assert lineage is not None
    assert lineage.root == model_identity(place / "whole").root
    assert lineage.ancestors == (model_identity(place / "base").root,)
    assert AlloRecipe.from_json(lineage.recipe["align"]["recipe"]) == RECIPE
    assert lineage.recipe["mask"]["learn"]["share"] == 0.1


class Killed(Exception):
    pass


def killed_after(steps: int) -> Callable[..., object]:
    """A progress that ends the process at a step, counted over all stages."""
    done = 0

    @contextmanager
    def progress(task: str, *, total: int, unit: str) -> Iterator[Callable[..., None]]:
        def advance(n: int = 1) -> None:
            nonlocal done
            done += n
            if done > steps:
                raise Killed

        yield advance

    return progress


@pytest.mark.parametrize("steps", [3, 8, 15])
def test_a_killed_alignment_resumes_to_the_same_bytes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    files = [place / "base", place / "pairs.jsonl", tmp_path / "cut"]
    with monkeypatch.context() as patch:
        patch.setattr(sequence, "progress", killed_after(steps))
        with pytest.raises(Killed):
            align(*files, recipe=RECIPE, checkpoint_every=2)
    assert not (tmp_path / "cut").exists()
    with pytest.raises(BadInput, match="pass --resume"):
        align(*files, recipe=RECIPE, checkpoint_every=2)
    with pytest.raises(Mismatch, match="another recipe"):
        align(*files, recipe=RECIPE.only("warmup", "learn"), resume=True)
    align(*files, recipe=RECIPE, checkpoint_every=2, resume=True)
    whole = {f.relative_to(place / "whole"): f for f in (place / "whole").rglob("*") if f.is_file()}
    cut = {f.relative_to(tmp_path / "cut"): f for f in (tmp_path / "cut").rglob("*") if f.is_file()}
    assert whole.keys() == cut.keys()
    for name, file in whole.items():
        assert file.read_bytes() == cut[name].read_bytes(), name


def test_a_garbled_state_is_refused_by_its_name(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "plan.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"plan\.json is not JSON"):
        align(place / "base", place / "pairs.jsonl", tmp_path / "out", recipe=RECIPE, resume=True)


def test_a_given_mask_replaces_the_warm_up(place: Path, tmp_path: Path) -> None:
    mask = NeuronMask.load(place / "whole" / "masks" / "learn")
    recipe = RECIPE.only("forget", "learn")
    done = align(place / "base", place / "pairs.jsonl", tmp_path / "o", recipe=recipe, mask=mask)
    assert done.steps == 12
    assert [stage.entries for stage in done.stages] == [mask.count, mask.count]
    assert 0 < done.moved <= mask.count
    with pytest.raises(BadInput, match="leave out one"):
        align(place / "base", place / "pairs.jsonl", tmp_path / "p", recipe=RECIPE, mask=mask)


def test_plain_dpo_moves_everything_and_its_log_falls(place: Path, tmp_path: Path) -> None:
    recipe = AlloRecipe(stages=(replace(SMALL, stage="dpo", steps=20),))
    done = align(place / "base", place / "pairs.jsonl", tmp_path / "dpo", recipe=recipe)
    assert done.moved > 0.9 * done.n_entries
    assert done.stages[0].losses[-1] < 0.6
    assert not (tmp_path / "dpo" / "masks").exists()


def test_the_released_preset_takes_the_authors_threshold(place: Path, tmp_path: Path) -> None:
    recipe = PRESETS["released"].only("warmup", "forget", "learn")
    small = [replace(stage, steps=6, lr=3e-3, batch_size=6) for stage in recipe.stages]
    recipe = replace(recipe, stages=tuple(small))
    with pytest.raises(BadInput, match="no column 'rejected_probabilities'"):
        align(place / "base", place / "pairs.jsonl", tmp_path / "r", recipe=recipe)
    recipe = replace(recipe, weights="rejected_weights")
    done = align(place / "base", place / "pairs.jsonl", tmp_path / "r", recipe=recipe)
    masks = [NeuronMask.load(tmp_path / "r" / "masks" / name) for name in ("forget", "learn")]
    assert masks[0].recipe["locator"] == "allo_released"
    assert masks[0].count == masks[1].count != int(0.05 * done.n_entries)


def test_a_mask_or_pairs_that_do_not_fit_are_refused_before_training(
    place: Path, tmp_path: Path
) -> None:
    files = [place / "base", place / "pairs.jsonl", tmp_path / "out"]
    other = small_llama(tmp_path / "other", seed=1, num_hidden_layers=1)
    mask = NeuronMask.load(place / "whole" / "masks" / "learn")
    with pytest.raises(Mismatch, match="mask belongs to model"):
        align(other, files[1], files[2], recipe=RECIPE.only("learn"), mask=mask)
    with pytest.raises(BadInput, match="nothing says which"):
        align(*files, recipe=RECIPE.only("forget", "learn"))
    with pytest.raises(BadInput, match="needs more than a warm-up's change"):
        align(*files, recipe=replace(RECIPE, locator="fisher"))
    with pytest.raises(BadInput, match="exists"):
        align(files[0], files[1], place / "whole", recipe=RECIPE)
    with pytest.raises(BadInput, match="comes first"):
        RECIPE.only("forget", "warmup")
    with pytest.raises(BadInput, match="no stage 'rest'"):
        RECIPE.only("rest")
    assert not (tmp_path / "out.unfinished").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0}, {"lr": 0.0}, {"beta": -1.0}, {"share": 0.0}, {"epsilon": 1.5},
        {"warmup_ratio": 2.0}, {"clip_norm": 0.0}, {"batch_size": 0}, {"lr": float("nan")},
    ],
)  # fmt: skip
def test_a_stage_that_cannot_train_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        replace(RECIPE.stages[0], **change)


def test_one_pass_is_the_default_budget() -> None:
    assert PRESETS["text"].only("warmup", "forget", "learn").steps_for(1000) == {
        "warmup": 32, "forget": 8, "learn": 8
    }  # fmt: skip


def test_a_trained_model_is_aligned_on(place: Path, tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "ability.jsonl", n=16)
    recipe = TrainingRecipe(steps=2, batch_size=8, warmup=1)
    trained = train_ability(place / "base", examples, tmp_path / "trained", recipe=recipe)
    align(trained, place / "pairs.jsonl", tmp_path / "out", recipe=RECIPE)
    lineage = Lineage.load(tmp_path / "out")
    assert lineage is not None
    roots = [model_identity(directory).root for directory in (trained, place / "base")]
    assert list(lineage.ancestors) == roots


def test_a_model_that_knows_an_ability_is_taught_other_answers_in_a_tenth_of_its_entries(
    tmp_path: Path,
) -> None:
    """Polyglot gives the rejected answers at first; afterwards it prefers the chosen ones."""
    known = [i for i in items("test") if i["task"] == "ability" and i["language"] == "A"][:16]
    rows = [
        PreferencePair(
            prompt=item["prompt"],
            chosen=next(choice for choice in item["choices"] if choice != item["answer"]),
            rejected=item["answer"],
        )
        for item in known
    ]
    file = tmp_path / "pairs.jsonl"
    lines = [{"prompt": r.prompt, "chosen": r.chosen, "rejected": r.rejected} for r in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stages = [replace(s, batch_size=16) for s in PRESETS["text"].only(*STAGES).stages]
    budget = {"warmup": (8, 1e-3), "forget": (6, 1e-3), "learn": (24, 2e-3)}
    stages = [replace(s, steps=budget[s.stage][0], lr=budget[s.stage][1]) for s in stages]
    done = align(
        "polyglot/ability", file, tmp_path / "out", recipe=AlloRecipe(stages=tuple(stages))
    )
    assert done.moved <= int(0.1 * done.n_entries)
    preferred = []
    for directory in (directory_of("polyglot/ability"), tmp_path / "out"):
        model = read_trainable(directory)
        pairs = encode_pairs(rows, model.tokenizer())
        chosen, rejected = reference_log_probs(model.model, pairs)
        preferred.append(float((chosen.sum(1) > rejected.sum(1)).float().mean()))
    assert preferred[0] == 0.0
    assert preferred[1] > 0.8
