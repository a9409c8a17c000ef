"""One model under another's names: bare trunks, and heads stored or tied."""

import pytest
import torch

from interp.abilities.moving.extract import extract
from interp.abilities.moving.naming import names_in
from interp.abilities.moving.transfer import transfer
from interp.results.errors import Mismatch
from tests.abilities.checkpoints import (
    assert_same_bits,
    near,
    random_tensors,
    read_model,
    write_model,
)
from tests.models import tiny_model

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def bare(tensors):
    """As the trunk alone saves them."""
    return {name.removeprefix("model."): t for name, t in tensors.items() if name != HEAD}


def tied(seed):
    tensors = random_tensors(0) if seed == 0 else near(random_tensors(0), seed)
    tensors[HEAD] = tensors[EMBEDDING].clone()
    return tensors


def without_head(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != HEAD}


@pytest.mark.parametrize("style", ["llama", "gpt2", "neox", "qwen2", "olmo"])
def test_the_names_of_a_trunk_are_found_in_the_whole_model_and_back(style):
    model = tiny_model(style)
    whole = set(model.state_dict())
    trunk = set(model.base_model.state_dict())
    forward = names_in(whole, trunk)
    assert set(forward.values()) <= whole
    assert len(set(forward.values())) == len(trunk)
    backward = names_in(trunk, whole)
    assert set(backward.values()) >= trunk
    assert all(backward[name] == name for name in whole - set(forward.values()))
    assert names_in(whole, whole) == {name: name for name in whole}


@pytest.mark.parametrize("kind", ["base", "ability", "language"])
def test_a_bare_trunk_takes_part_as_the_whole_model_does(tmp_path, kind):
    models = {name: tied(seed) for seed, name in enumerate(["base", "ability", "language"])}
    for name, tensors in models.items():
        write_model(tmp_path / name, without_head(tensors), tie_word_embeddings=True)
    write_model(tmp_path / "trunk", bare(models[kind]), tie_word_embeddings=True)
    place = {name: tmp_path / name for name in models}
    names = ["base", "ability", "language"]
    mixed = place | {kind: tmp_path / "trunk"}
    for out, these in (("one", place), ("two", mixed)):
        weights = extract(place["base"], these["ability"], tmp_path / f"w{out}")
        base, language = these["base"], these["language"]
        transfer(base, weights, tmp_path / out, language=language, force=kind == "base")
    assert names == list(models)
    one, two = read_model(tmp_path / "one"), read_model(tmp_path / "two")
    assert_same_bits(bare(one) if kind == "base" else one, two)


@pytest.mark.parametrize("stored", ["base", "ability", "language", "weights"])
def test_a_tied_head_may_be_stored_on_one_side_and_absent_on_the_others(tmp_path, stored):
    models = {name: tied(seed) for seed, name in enumerate(["base", "ability", "language"])}
    for name, tensors in models.items():
        kept = tensors if stored in (name, "weights") else without_head(tensors)
        write_model(tmp_path / name, kept, tie_word_embeddings=True)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    base = tmp_path / "base"
    if stored == "weights":
        base = write_model(tmp_path / "o", without_head(models["base"]), tie_word_embeddings=True)
    language = tmp_path / "language"
    transfer(base, weights, tmp_path / "out", language=language, force=stored == "weights")
    made = read_model(tmp_path / "out")
    assert (HEAD in made) == (stored == "base")
    expected = models["ability"][EMBEDDING] + models["language"][EMBEDDING]
    expected = expected - models["base"][EMBEDDING]
    for name in {HEAD, EMBEDDING} & made.keys():
        torch.testing.assert_close(made[name], expected)


def test_weights_without_a_head_change_both_copies_that_a_base_stores(tmp_path):
    for seed, name in enumerate(["base", "ability"]):
        write_model(tmp_path / name, without_head(tied(seed)), tie_word_embeddings=True)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    twice = write_model(tmp_path / "twice", tied(0), tie_word_embeddings=True)
    transfer(twice, weights, tmp_path / "out", force=True)
    made = read_model(tmp_path / "out")
    assert torch.equal(made[HEAD], made[EMBEDDING])
    torch.testing.assert_close(made[HEAD], tied(1)[HEAD])


def test_a_head_that_differs_from_the_embedding_it_is_tied_to_is_refused(tmp_path):
    write_model(tmp_path / "base", without_head(tied(0)), tie_word_embeddings=True)
    untied = near(random_tensors(0), 1)
    write_model(tmp_path / "other", untied)
    for refused in (
        lambda: extract(tmp_path / "base", tmp_path / "other", tmp_path / "out"),
        lambda: transfer(tmp_path / "base", [], tmp_path / "out", language=tmp_path / "other"),
    ):
        with pytest.raises(Mismatch, match=r"'lm_head\.weight' of .*other.* ties"):
            refused()
    assert not (tmp_path / "out").exists()
    write_model(tmp_path / "whole", random_tensors(0))
    weights = extract(tmp_path / "whole", tmp_path / "other", tmp_path / "w")
    with pytest.raises(Mismatch, match=r"the ability changes 'lm_head\.weight'"):
        transfer(tmp_path / "base", weights, tmp_path / "out", force=True)


def test_the_head_of_an_untied_model_may_not_be_absent(tmp_path):
    write_model(tmp_path / "base", random_tensors(0))
    write_model(tmp_path / "other", bare(near(random_tensors(0), 1)))
    with pytest.raises(Mismatch, match=r"lacks 'lm_head\.weight'"):
        extract(tmp_path / "base", tmp_path / "other", tmp_path / "out")
