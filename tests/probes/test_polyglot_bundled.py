"""What the bundled models must show; thresholds leave room below the worst of six seeds."""

import json
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp.models.load import load
from interp.results.hashing import sha256_file
from interp.results.intervals import Interval
from probes.polyglot import CHANCE, items
from probes.polyglot.accuracy import Accuracy, accuracies, correct
from probes.polyglot.card import BUNDLED
from probes.polyglot.languages import WORDS
from probes.polyglot.model import read_model
from probes.polyglot.recipe import VARIANTS

State = dict[str, torch.Tensor]
IN_EMBEDDINGS = ("model.embed_tokens", "lm_head")


@cache
def state(variant: str) -> State:
    return read_model(BUNDLED / variant).state_dict()


def added(*, ability: float = 1.0, language: Callable[[str], bool] = lambda name: True) -> State:
    """base + ability (ability - base) + (language - base) on the tensors that `language` takes."""
    base = state("base")
    return {
        name: base[name]
        + ability * (state("ability")[name] - base[name])
        + language(name) * (state("language")[name] - base[name])
        for name in base
    }


def measured(weights: State) -> dict[str, dict[str, Accuracy]]:
    model = read_model(BUNDLED / "base")
    model.load_state_dict(weights)
    return accuracies(model)


@cache
def alone(variant: str) -> dict[str, dict[str, Accuracy]]:
    return measured(state(variant))


@cache
def plain_sum() -> dict[str, dict[str, Accuracy]]:
    return measured(added())


def ability_in_targets(result: dict[str, dict[str, Accuracy]]) -> Interval:
    return result["ability"]["DE"].interval


def test_target_languages_are_nearly_unseen_by_the_base_and_known_after_adaptation():
    assert alone("base")["general"]["DE"].interval.high <= 0.60
    assert alone("base")["general"]["BC"].interval.low >= 0.97
    assert alone("language")["general"]["DE"].interval.low >= 0.97
    assert alone("language")["general"]["ABCDE"].interval.low >= 0.97


def test_neither_part_alone_has_the_ability_in_the_target_languages():
    body = measured(added(language=lambda name: not name.startswith(IN_EMBEDDINGS)))
    for result in (alone("base"), alone("language"), alone("control"), alone("ability"), body):
        assert ability_in_targets(result).value <= 0.22
    for result in (alone("base"), alone("language"), alone("control")):
        assert ability_in_targets(result).low <= CHANCE


def test_the_ability_model_learnt_its_ability_and_kept_the_rest():
    assert alone("ability")["ability"]["A"].interval.value >= 0.95
    assert alone("ability")["general"]["BC"].interval.low >= 0.95
    assert alone("control")["general"]["BC"].interval.low >= 0.95
    assert alone("control")["ability"]["A"].interval.value <= 0.22
    assert alone("ceiling")["ability"]["DE"].interval.low >= 0.95


def test_the_plain_sum_has_the_ability_that_no_part_has():
    both = ability_in_targets(plain_sum())
    assert both.value >= 0.33
    for variant in ("base", "language", "ability", "control"):
        part = ability_in_targets(alone(variant))
        assert both.value - part.value >= 0.18
        assert both.apart_from(part)
    assert plain_sum()["general"]["ABCDE"].interval.low >= 0.93


def test_the_language_reaches_the_sum_through_its_embeddings():
    embeddings = measured(added(language=lambda name: name.startswith(IN_EMBEDDINGS)))
    assert ability_in_targets(embeddings).value >= 0.33


def test_the_embeddings_of_ability_and_control_are_those_of_the_base():
    for variant in ("ability", "control"):
        for name in state("base"):
            same = torch.equal(state(variant)[name], state("base")[name])
            assert same == name.startswith(IN_EMBEDDINGS), (variant, name)


def test_the_card_says_what_is_measured_anew():
    card = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))
    assert list(card["variants"]) == list(VARIANTS)
    for variant, facts in card["variants"].items():
        assert facts["sha256"] == sha256_file(BUNDLED / variant / "model.safetensors")
        counted = facts["n_parameters"]
        assert counted == sum(tensor.numel() for tensor in state(variant).values())
        for task, groups in alone(variant).items():
            for group, accuracy in groups.items():
                said = facts["accuracy"]["float16"][task][group]
                assert said["n"] == accuracy.n
                # Another processor may round one question in a hundred differently.
                assert abs(said["right"] - accuracy.right) <= max(1, accuracy.n // 100)


def test_half_precision_keeps_the_figures_of_training():
    card = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))
    for facts in card["variants"].values():
        rounded, before = facts["accuracy"]["float16"], facts["accuracy"]["float32"]
        for task in rounded:
            for group in rounded[task]:
                assert rounded[task][group]["value"] == pytest.approx(
                    before[task][group]["value"], abs=0.01
                )


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_opens_the_directory_and_answers_a_typed_prompt(variant: str):
    directory = BUNDLED / variant
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype="float32", local_files_only=True)
    assert model.config.vocab_size == len(WORDS) == len(tokenizer)
    ids = tokenizer("bam rez plus ->A", return_tensors="pt")
    assert ids["input_ids"].shape == (1, 4)
    generated = model.generate(**ids)  # pyright: ignore[reportAttributeAccessIssue]
    assert tokenizer.decode(generated[0]) == "bam rez plus ->A rez"


def test_the_bridge_reads_a_typed_prompt_as_its_four_words():
    bridge = load("polyglot")
    expected = [[WORDS.index(word) for word in ("bam", "rez", "plus", "->A")]]
    assert bridge.to_tokens("bam rez plus ->A").tolist() == expected
    with torch.no_grad():
        logits = bridge("bam rez plus ->A")
    assert WORDS[int(logits[0, -1].argmax())] == "rez"


def test_text_scored_through_the_tokenizer_agrees_with_ids_scored_directly():
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "ability", local_files_only=True)
    model = read_model(BUNDLED / "ability")
    asked = [item for item in items("test", languages=("B",)) if item["task"] == "ability"]
    ids = tokenizer([item["prompt"] for item in asked], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        likeliest = model(input_ids=ids).logits[:, -1].argmax(-1)
    answers = tokenizer.convert_tokens_to_ids([item["answer"] for item in asked])
    np.testing.assert_array_equal(
        likeliest.numpy() == np.array(answers),
        correct(model, task="ability", split="test", language="B"),
    )


def test_bundled_files_are_small_and_hold_half_precision():
    files = [path for path in BUNDLED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 4_000_000
    assert max(path.stat().st_size for path in files) < 2_000_000
    for variant in VARIANTS:
        config = json.loads((BUNDLED / variant / "config.json").read_text(encoding="utf-8"))
        assert config["dtype"] == "float16"
