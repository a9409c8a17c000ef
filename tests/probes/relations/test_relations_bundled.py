"""What the bundled models must show: answers that are right, and a control whose are not."""

import json
from functools import cache

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from interp.heads.relations import score_relations, semantic_heads
from interp.models.load import load
from interp.models.reference import BUNDLED, resolve
from interp.models.series import checkpoints
from interp.results.hashing import sha256_file
from probes.relations import WORLDS, relation_corpus
from probes.relations.accuracy import Accuracies, accuracies
from probes.relations.card import WHAT
from probes.relations.model import read_model
from probes.relations.recipe import RECIPES

HOME = BUNDLED / "relations"


@cache
def found(name: str, step: int | None = None) -> dict[str, Accuracies]:
    directory = HOME / name if step is None else HOME / name / f"step-{step}"
    return accuracies(read_model(directory), "grammar" if name == "control" else name)


def share(groups: Accuracies) -> float:
    counts = list(groups.values())
    return sum(right for right, _, _ in counts) / sum(n for _, n, _ in counts)


@pytest.mark.parametrize("name", ["static", "binding"])
def test_the_small_models_answer_everything(name: str):
    assert share(found(name)["questions"]) >= 0.99


def test_binding_is_learnt_between_two_checkpoints():
    assert share(found("binding", 400)["questions"]) < 0.35
    assert share(found("binding", 500)["questions"]) > 0.85


def test_the_grammar_model_answers_every_relation():
    questions = found("grammar")["questions"]
    assert share(questions) > 0.95
    assert min(right / n for right, n, _ in questions.values()) > 0.9


def test_the_control_answers_no_relation():
    assert max(right / n for right, n, _ in found("control")["questions"].values()) < 0.4


@pytest.mark.parametrize("name", RECIPES)
def test_every_series_has_the_checkpoints_of_its_recipe(name: str):
    steps = RECIPES[name].checkpoints
    if steps:
        assert tuple(c.step for c in checkpoints(f"relations/{name}")) == steps
    assert resolve(f"relations/{name}").path == HOME / name


def test_the_name_alone_means_the_grammar_model():
    assert resolve("relations").path == HOME / "grammar"


@pytest.mark.parametrize("name", ["static", "binding"])
def test_the_card_says_what_is_measured_anew(name: str):
    card = json.loads((HOME / "card.json").read_text(encoding="utf-8"))
    assert card["variants"].keys() == WHAT.keys()
    variant = card["variants"][name]
    assert variant["sha256"] == sha256_file(HOME / name / "model.safetensors")
    for relation, (right, n, _) in found(name)["questions"].items():
        said = variant["accuracy"]["float16"]["questions"][relation]
        # Another processor may round one answer in a hundred differently.
        assert said["n"] == n
        assert abs(said["right"] - right) <= n // 100


@pytest.mark.parametrize("name", WORLDS)
def test_transformers_opens_every_directory_with_its_words(name: str):
    directory = HOME / name
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype="float32", local_files_only=True)
    tokens = WORLDS[name].vocabulary.tokens
    assert model.config.vocab_size == len(tokens) == len(tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) == list(tokens)


def test_the_cards_prompts_are_answered_as_it_says():
    card = json.loads((HOME / "card.json").read_text(encoding="utf-8"))
    grammar, static, binding = card["prompts"][:3]
    for name, prompt in (("grammar", grammar), ("static", static), ("binding", binding)):
        bridge = load(f"relations/{name}", device="cpu")
        said = bridge(prompt["prompt"])[0, -1].argmax()
        assert bridge.tokenizer.decode([int(said)]) == prompt["answer"]


def test_the_heads_that_read_the_binding_are_found_and_the_writers_are_not():
    corpus = relation_corpus("binding", n=60, seed=1)
    scores = score_relations("relations/binding", corpus, draws=1000, seed=0)
    heads = semantic_heads(scores, "relation.owns")
    assert heads[1].any()
    assert not heads[0].any()


def test_every_file_of_the_bundle_is_small():
    files = [path for path in HOME.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 2_000_000
    assert sum(path.stat().st_size for path in files) < 12_000_000
