"""Polyglot: a small decoder over five made-up languages that share concepts, and its data.

The base knows A, B and C well and has hardly seen D and E. An ability, the operation `zorn`, is
learnt in A only; what the base would need to use it in D and E is known, because the generator
knows every answer.

    from probes.polyglot import ability_training, items, write_data
    ability_training(seed=0, n=2)        # [{"prompt": "rez lop zorn ->A", "answer": "dot"}, ...]
    items("test")[0]                     # id, prompt, answer, choices, task, language, split
    write_data(Path("data"), seed=0)     # the files that the main job reads
"""

from probes.polyglot.cells import items
from probes.polyglot.examples import ability_training, general_lines, general_training, write_data
from probes.polyglot.languages import ABILITY, CHANCE, GENERAL, LANGUAGES, NUMBERS

__all__ = [
    "ABILITY",
    "CHANCE",
    "GENERAL",
    "LANGUAGES",
    "NUMBERS",
    "ability_training",
    "general_lines",
    "general_training",
    "items",
    "write_data",
]
