"""What the documentation says about functions is so."""

import json
import re
from pathlib import Path

import numpy as np

from probes.functions.card import BUNDLED
from probes.functions.recipe import SIBLINGS, Recipe
from probes.functions.tasks import FIRST_FUNCTION, FUNCTIONS, N_SYMBOLS, WORDS, sequences, text

PAGE = (Path(__file__).parents[3] / "docs" / "functions.md").read_text(encoding="utf-8")
PROMPT_ROW = re.compile(r"^\| `(\w+) ([\d ]+) :` \| `([\d ]+)` \|", re.MULTILINE)


def shown(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def test_every_prompt_of_the_page_has_the_true_answer():
    rows = PROMPT_ROW.findall(PAGE)
    assert [row[0] for row in rows] == list(FUNCTIONS)
    for function, x, y in rows:
        asked = np.array([WORDS.index(function) - FIRST_FUNCTION])
        [line] = text(sequences(asked, np.array([[int(symbol) for symbol in x.split()]])))
        assert line == f"{function} {x} : {y}"


def test_the_sizes_of_the_page_are_those_of_the_recipe():
    recipe = Recipe()
    assert f"{recipe.d_mlp} ReLU neurons a layer" in PAGE
    assert f"a tokenizer of {recipe.d_vocab} words" in PAGE
    assert f"series of {len(recipe.checkpoints)}" in PAGE
    assert f"pays {recipe.planted_penalty} for" in PAGE
    assert f"the control {recipe.control_penalty} for" in PAGE
    assert N_SYMBOLS == 8


def test_the_figures_of_the_page_are_those_of_the_card():
    card = json.loads((BUNDLED / "card.json").read_text(encoding="utf-8"))
    variants = [card["variants"][sibling] for sibling in SIBLINGS]
    assert f"{variants[0]['n_parameters']:,}" in PAGE.replace("\n", " ")
    active = [", ".join(shown(share) for share in v["activation_ratio"]) for v in variants]
    assert f"| share of neurons active, layers 0 and 1 | {active[0]} | {active[1]} |" in PAGE
    mass = [float(np.mean([m[1] for m in v["own_block_mass"].values()])) for v in variants]
    assert f"mean of functions; chance .167 | {shown(mass[0])} | {shown(mass[1])} |" in PAGE
    worst = [
        min(v["accuracy"]["float16"]["answers"].values(), key=lambda a: a["value"])
        for v in variants
    ]
    cells = [f"{a['value']:.3f} [{shown(a['low'])}, {a['high']:.3f}]" for a in worst]
    assert f"worst function of six (n {worst[0]['n']:,}) | {cells[0]} | {cells[1]} |" in PAGE
