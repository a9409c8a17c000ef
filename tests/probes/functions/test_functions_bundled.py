"""What the bundled siblings must show; thresholds were fixed before the first training."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp.models.load import load
from interp.models.reference import BUNDLED, resolve, resolve_series
from interp.models.series import checkpoints
from interp.results.hashing import sha256_file
from probes.functions.blocks import known_blocks
from probes.functions.card import card
from probes.functions.facts import Facts, measure
from probes.functions.model import read_model
from probes.functions.recipe import SHIPPED_SEED, SIBLINGS, Recipe
from probes.functions.tasks import FUNCTIONS, WORDS

HOME = BUNDLED / "functions"
BLOCKS = known_blocks(SHIPPED_SEED)


@cache
def facts(sibling: str, step: int = 2500) -> Facts:
    return measure(read_model(HOME / sibling / f"step-{step}"))


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_every_function_is_answered_and_few_neurons_are_active(sibling: str):
    found = facts(sibling)
    assert (found.right / found.n).min() >= 0.99
    assert found.activation_ratio.max() < 0.10
    assert facts(sibling, 0).activation_ratio.min() > 0.40


def test_activation_lies_in_the_block_of_the_function_asked_and_not_in_the_control():
    planted = facts("planted").own_mass(BLOCKS)[:, 1].mean()
    control = facts("control").own_mass(BLOCKS)[:, 1].mean()
    assert planted > 0.6
    assert control < 0.3


def test_untrained_neurons_are_active_in_every_block_alike():
    np.testing.assert_allclose(facts("planted", 0).own_mass(BLOCKS), 1 / 6, atol=0.05)


def test_both_siblings_are_series_that_start_alike():
    for sibling in SIBLINGS:
        found = checkpoints(f"functions/{sibling}")
        assert tuple(c.step for c in found) == Recipe().checkpoints
        last = sha256_file(HOME / sibling / "step-2500" / "model.safetensors")
        assert sha256_file(HOME / sibling / "model.safetensors") == last
    starts = {sha256_file(HOME / s / "step-0" / "model.safetensors") for s in SIBLINGS}
    assert len(starts) == 1


def test_the_name_alone_means_the_planted_sibling():
    assert resolve("functions").path == HOME / "planted"
    assert resolve("functions@400").path == HOME / "planted" / "step-400"
    assert resolve_series("functions").path == HOME / "planted"
    assert resolve("functions/control").path == HOME / "control"


def test_the_card_says_what_is_measured_anew():
    shipped = json.loads((HOME / "card.json").read_text(encoding="utf-8"))
    again = card(HOME)
    assert shipped.keys() == again.keys()
    for sibling in SIBLINGS:
        said, measured = shipped["variants"][sibling], again["variants"][sibling]
        assert said["sha256"] == measured["sha256"]
        assert said["n_parameters"] == measured["n_parameters"]
        for function in FUNCTIONS:
            one, other = (v["accuracy"]["float16"]["answers"][function] for v in (said, measured))
            # Another processor may round one answer in a hundred differently.
            assert one["n"] == other["n"]
            assert abs(one["right"] - other["right"]) <= one["n"] // 100
            assert said["own_block_mass"][function] == pytest.approx(
                measured["own_block_mass"][function], abs=0.01
            )


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_transformers_opens_the_directory_and_answers_a_typed_prompt(sibling: str):
    directory = HOME / sibling
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype="float32", local_files_only=True)
    assert model.config.vocab_size == len(WORDS) == len(tokenizer)
    ids = tokenizer("max 3 1 4 1 5 2 6 7 :", return_tensors="pt")
    generated = model.generate(**ids)  # pyright: ignore[reportAttributeAccessIssue]
    assert tokenizer.decode(generated[0]) == "<bos> max 3 1 4 1 5 2 6 7 : 7 3 4 4 5 5 6 7"


def test_the_bridge_reads_a_typed_prompt_and_shows_its_neurons():
    bridge = load("functions")
    words = ("<bos>", "max", "3", "1", ":")
    assert bridge.to_tokens("max 3 1 :").tolist() == [[WORDS.index(word) for word in words]]
    with torch.no_grad():
        _, cache = bridge.run_with_cache("max 3 1 4 1 5 2 6 7 : 7 3")
    neurons = cache["blocks.1.mlp.hook_post"]
    assert neurons.shape == (1, 13, 192)
    assert float(neurons.min()) == 0.0


def test_every_file_of_the_bundle_is_small():
    files = [path for path in HOME.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 2_000_000
    assert sum(path.stat().st_size for path in files) < 6_000_000
