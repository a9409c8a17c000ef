"""What the documentation says about polyglot is so."""

import json
import re
from pathlib import Path

from probes.polyglot import ability_training
from probes.polyglot.card import BUNDLED
from probes.polyglot.languages import NUMBERS, OPERATIONS, truth
from probes.polyglot.recipe import VARIANTS

PAGE = (Path(__file__).parents[2] / "docs" / "polyglot.md").read_text(encoding="utf-8")
PROMPT_ROW = re.compile(r"^\| `(\w+) (\w+) (\w+) ->(\w)` \| `(\w+)` \|", re.MULTILINE)


def test_every_prompt_of_the_page_has_the_true_answer():
    rows = PROMPT_ROW.findall(PAGE)
    assert len(rows) >= 5
    for x, y, operation, language, answer in rows:
        words = NUMBERS[language]
        cell = (OPERATIONS.index(operation), words.index(x), words.index(y))
        assert words[truth()[cell]] == answer


def test_the_page_lists_the_words_of_every_language():
    for language, words in NUMBERS.items():
        assert f"| {language} | {' | '.join(words)} |" in PAGE
    for operation in OPERATIONS:
        assert f"`{operation}`" in PAGE


def test_the_example_line_of_the_page_is_what_comes_out():
    said = re.search(r"ability_training\(seed=0, n=2\)  # \[(\{.*?\})", PAGE)
    assert said is not None
    assert json.loads(said[1]) == ability_training(seed=0, n=2)[0]


def test_the_accuracies_of_the_page_are_those_of_the_card():
    variants = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))["variants"]
    groups = [("ability", "A"), ("ability", "BC"), ("ability", "DE")]
    groups += [("general", "BC"), ("general", "DE"), ("general", "ABCDE")]
    for variant in VARIANTS:
        cells = [variants[variant]["accuracy"]["float16"][task][group] for task, group in groups]
        shown = [f"{c['value']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells]
        row = f"| {variant} | {' | '.join(shown)} |".replace(" 0.", " .").replace("[0.", "[.")
        assert row in PAGE
