"""What the documentation says about relations is so."""

import json
from pathlib import Path

from probes.relations.card import BUNDLED
from probes.relations.grammar.words import DEPENDENCIES, PREDICATES, VOCABULARY
from probes.relations.worlds import WORLDS

PAGE = (Path(__file__).parents[3] / "docs" / "relations.md").read_text(encoding="utf-8")
CARD = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))


def shown(answers: dict[str, float]) -> str:
    return f"{answers['value']:.3f} [{answers['low']:.3f}, {answers['high']:.3f}]"


def test_the_accuracies_of_the_page_are_those_of_the_card():
    accuracy = {name: v["accuracy"]["float16"] for name, v in CARD["variants"].items()}
    for task, before in (("questions", ""), ("labels", "labels, ")):
        for group, answers in accuracy["grammar"][task].items():
            control = shown(accuracy["control"][task][group])
            assert f"| {before}{group} | {answers['n']:,} | {shown(answers)} | {control} |" in PAGE
    for name in ("static", "binding"):
        for relation, answers in accuracy[name]["questions"].items():
            assert f"| {name}: {relation} | {answers['n']:,} | {shown(answers)} |" in PAGE


def test_the_prompts_of_the_page_are_those_of_the_card():
    for name, prompt in zip(("grammar", "static", "binding"), CARD["prompts"], strict=False):
        assert f"| {name} | `{prompt['prompt']}` | `{prompt['answer']}` |" in PAGE


def test_the_words_and_sizes_of_the_page_are_those_of_the_worlds():
    for cue in DEPENDENCIES.values():
        assert f"`{cue} " in PAGE
    for relation, (forward, backward, cue) in PREDICATES.items():
        assert all(word in PAGE for word in (relation, forward, backward, cue))
    for name in ("grammar", "static", "binding"):
        n = CARD["variants"][name]["n_parameters"]
        words = len(WORLDS[name].vocabulary.tokens)
        assert f"| {words} | {WORLDS[name].n_ctx} | {n:,} |" in PAGE
    assert len(VOCABULARY.split) == 5
    assert f"a series of {len(CARD['variants']['grammar']['checkpoints'])} checkpoints" in PAGE
