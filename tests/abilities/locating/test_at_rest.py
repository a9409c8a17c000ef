"""Locating in files, read in pieces, is locating in memory; random draws do not know the pieces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from interp.abilities.locating import at_rest
from interp.abilities.locating.at_rest import locate_at_rest
from interp.abilities.locating.locate import locate
from interp.abilities.locating.locator import TensorEvidence, given
from interp.abilities.locating.locators import locator_named, locators
from interp.abilities.locating.request import AT_REST, LEVELS, OF_CHANGE, locator_names
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.masks.selection import select_by
from interp.abilities.masks.uniform import BLOCK, uniform_blocks, uniform_scores
from interp.abilities.streaming.topk import top_entries
from interp.abilities.training.masked_training import TrainingRecipe
from interp.models.weight_files import INDEX, SINGLE
from interp.results.errors import BadInput, Unsupported
from tests.abilities.checkpoints import near
from tests.abilities.learning import small_llama, write_examples

FORMATS = [torch.float32, torch.bfloat16, torch.float16]


def stored_as(directory: Path, tensors: dict[str, torch.Tensor], source: Path) -> Path:
    """The model of `source` with other tensors."""
    directory.mkdir()
    for file in source.iterdir():
        if file.suffix == ".json" and file.name != INDEX:
            (directory / file.name).write_bytes(file.read_bytes())
    save_file(tensors, directory / SINGLE, {"format": "pt"})
    return directory


@pytest.fixture(scope="module", params=FORMATS, ids=str)
def models(request, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, a training of it and another, in one format; and examples."""
    place = tmp_path_factory.mktemp("models")
    source = small_llama(place / "source")
    base = {n: t.to(request.param) for n, t in load_file(source / SINGLE).items()}
    return {
        "base": stored_as(place / "base", base, source),
        "trained": stored_as(place / "trained", near(base, 1), source),
        "general": stored_as(place / "general", near(base, 2), source),
        "examples": write_examples(place / "ability.jsonl", n=4),
    }


def tensors_of(directory: Path) -> dict[str, torch.Tensor]:
    return {n: t.float() for n, t in load_file(directory / SINGLE).items()}


def assert_same(one: NeuronMask, other: NeuronMask) -> None:
    assert one.tensors.keys() == other.tensors.keys() and one.count == other.count > 0
    for name in one.tensors:
        assert np.array_equal(one.dense(name), other.dense(name)), name
    assert one.threshold == other.threshold


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("locator", AT_REST)
def test_a_null_in_pieces_is_the_null_in_memory(
    locator: str, level: str, models: dict[str, Path]
) -> None:
    share = 0.5 if level in ("layer", "head", "q_head", "kv_head") else 0.2
    recipe = TrainingRecipe(steps=80, seed=7)
    asked = {"locator": locator, "level": level, "share": share, "training": recipe}
    in_memory = locate(models["base"], models["examples"], **asked)
    in_pieces = locate(models["base"], **asked)
    assert_same(in_pieces, in_memory)
    assert "examples" in in_memory.recipe and "examples" not in in_pieces.recipe


@pytest.mark.parametrize("rank_embeddings", [False, True])
@pytest.mark.parametrize("locator", OF_CHANGE)
def test_a_change_in_pieces_is_chosen_from_as_in_memory(
    locator: str, rank_embeddings: bool, models: dict[str, Path]
) -> None:
    parts = {name: tensors_of(models[name]) for name in ("base", "trained", "general")}
    chosen = locator_named(locator)
    found = locate_at_rest(
        models["base"],
        models["trained"],
        locator=locator,
        share=0.05,
        general=models["general"] if locator == "contrast" else None,
        rank_embeddings=rank_embeddings,
    )
    scores = {
        name: given(chosen.score)(
            TensorEvidence(
                base=tensor, trained=parts["trained"][name], general=parts["general"][name]
            )
        )
        for name, tensor in parts["base"].items()
        if rank_embeddings or not name.endswith(("embed_tokens.weight", "lm_head.weight"))
    }
    expected = select_by(chosen, scores, share=0.05, scope="global").supports
    assert found.tensors.keys() == expected.keys()
    for name, support in expected.items():
        assert np.array_equal(found.dense(name), support.dense()), name


def test_allo_as_released_cuts_pieces_as_it_cuts_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    for share in (0.0, 1e-4, 0.05, 0.3, 0.7, 1.0):
        scores = {
            f"t{scale}": scale * torch.randn(97, 31, generator=generator).abs()
            for scale in (1, 2, 9)
        } | {"zero": torch.zeros(50)}
        shapes = {name: tuple(score.shape) for name, score in scores.items()}

        def pieces(name: str, scores=scores):
            return iter(scores[name].flatten().numpy()[i : i + 500] for i in range(0, 3100, 500))

        kept = at_rest.kept_in_pieces(pieces, shapes, share)
        expected = locator_named("allo_released").keep
        assert expected is not None
        for name, whole in zip(scores, expected(list(scores.values()), share), strict=True):
            assert np.array_equal(kept[name].dense(), whole.numpy()), (name, share)


def test_random_scores_know_name_and_place_and_not_the_shards(
    models: dict[str, Path], tmp_path: Path
) -> None:
    whole = load_file(models["base"] / SINGLE)
    sharded = stored_as(tmp_path / "sharded", whole, models["base"])
    (sharded / SINGLE).unlink()
    weight_map = {}
    for number in range(3):
        part = {name: whole[name] for name in list(whole)[number::3]}
        file = f"model-{number + 1:05d}-of-00003.safetensors"
        save_file(part, sharded / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (sharded / INDEX).write_text(
        f'{{"metadata": {{}}, "weight_map": {weight_map}}}'.replace("'", '"')
    )
    for locator in AT_REST:
        assert_same(
            locate_at_rest(models["base"], locator=locator, share=0.1),
            locate_at_rest(sharded, locator=locator, share=0.1),
        )
    one, other = (
        locate_at_rest(models["base"], locator="random", share=0.1, seed=seed) for seed in (0, 1)
    )
    assert any(not np.array_equal(one.dense(n), other.dense(n)) for n in one.tensors)


def test_a_block_does_not_depend_on_those_before_or_after() -> None:
    n = 2 * BLOCK + 5
    whole = np.concatenate([*uniform_blocks("w", n, seed=3, purpose="p")])
    shorter = np.concatenate([*uniform_blocks("w", BLOCK + 9, seed=3, purpose="p")])
    assert whole.size == n and np.array_equal(whole[: shorter.size], shorter)
    first, second = whole[:BLOCK], whole[BLOCK : 2 * BLOCK]
    others = [
        np.concatenate([*uniform_blocks(*of, **at)])
        for of, at in (
            (("v", BLOCK), {"seed": 3, "purpose": "p"}),
            (("w", BLOCK), {"seed": 4, "purpose": "p"}),
            (("w", BLOCK), {"seed": 3, "purpose": "q"}),
        )
    ]
    for other in (second, *others):
        # 4 standard deviations of a correlation of independent numbers.
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(BLOCK)
    counts = np.histogram(whole, bins=64, range=(0, 1))[0]
    assert ((counts - n / 64) ** 2).sum() / (n / 64) < 63 + 4 * np.sqrt(2 * 63)


def test_every_set_of_entries_is_drawn_as_often() -> None:
    pairs = np.zeros((6, 6), dtype=int)
    for seed in range(1500):
        scores = uniform_scores({"w": (2, 3)}, seed=seed, purpose="random_like")
        chosen = top_entries({"w": (2, 3)}, scores, k=2).supports["w"].dense().ravel()
        pairs[tuple(np.flatnonzero(chosen))] += 1
    drawn = pairs[np.triu_indices(6, 1)]
    assert drawn.sum() == 1500
    assert ((drawn - 100) ** 2).sum() / 100 < 14 + 4 * np.sqrt(2 * 14)


def test_a_mask_like_a_random_one_of_the_same_seed_is_another(models: dict[str, Path]) -> None:
    random = locate_at_rest(models["base"], locator="random", share=0.2, seed=0)
    like = random_like(random, seed=0)
    assert like.counts_by_tensor() == random.counts_by_tensor()
    shared = sum(int((random.dense(n) & like.dense(n)).sum()) for n in random.tensors)
    assert shared == pytest.approx(0.2 * random.count, rel=0.2)


def test_what_needs_no_data_is_what_the_locators_say() -> None:
    assert locator_names() == sorted(locators())
    scored = {name: locator for name, locator in locators().items() if locator.score}
    assert set(AT_REST) == {n for n, locator in scored.items() if locator.needs <= {"noise"}}
    assert set(OF_CHANGE) == {n for n, locator in scored.items() if "change" in locator.needs}


def test_what_cannot_be_read_in_pieces_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    base, trained = models["base"], models["trained"]
    with pytest.raises(BadInput, match="is scored by change, .* not by grad"):
        locate_at_rest(base, trained, locator="grad")
    with pytest.raises(BadInput, match="nothing to locate by"):
        locate_at_rest(base, locator="change")
    with pytest.raises(BadInput, match="looks at the base alone"):
        locate_at_rest(base, trained, locator="random")
    with pytest.raises(BadInput, match="'contrast' needs --general"):
        locate_at_rest(base, trained, locator="contrast")
    with pytest.raises(BadInput, match="no use for --general"):
        locate_at_rest(base, trained, locator="bottom", general=trained)
    with pytest.raises(BadInput, match="rule of its own: no units"):
        locate_at_rest(base, trained, locator="allo_released", level="neuron")
    whole = load_file(base / SINGLE)
    name = "model.layers.0.mlp.up_proj.weight"
    packed = stored_as(tmp_path / "i", whole | {name: whole[name].to(torch.int8)}, base)
    with pytest.raises(Unsupported, match="is I8: expected F16, BF16"):
        locate_at_rest(packed, locator="magnitude")
