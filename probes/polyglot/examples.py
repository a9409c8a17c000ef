"""Training and evaluation data of polyglot as text: prompt and answer, or plain lines."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from interp.results.atomic import atomic_file
from interp.results.errors import BadInput
from probes.polyglot.cells import items
from probes.polyglot.languages import LANGUAGES, AbilityRule, text
from probes.polyglot.mixtures import Mixture, draw_lines


def ability_training(
    seed: int,
    *,
    n: int = 51_200,
    languages: str = "A",
    ability: float = 0.5,
    rule: AbilityRule = "table",
) -> list[dict[str, str]]:
    """`n` examples {"prompt", "answer"}, half of them the ability, half general, in `languages`.

    51,200 is what the ability model saw: 400 steps of 128.
    """
    mixture = _mixture(languages, code_mixing=0.0, ability=ability)
    return _examples(mixture, seed=seed, n=n, rule=rule)


def general_training(
    seed: int, *, n: int = 51_200, languages: str = "A", code_mixing: float = 0.0
) -> list[dict[str, str]]:
    """`n` examples {"prompt", "answer"} of the general operations, equally often in `languages`."""
    return _examples(_mixture(languages, code_mixing=code_mixing, ability=0.0), seed=seed, n=n)


def general_lines(
    seed: int, *, n: int, languages: str = "ABCDE", code_mixing: float = 0.3
) -> list[str]:
    """`n` lines of general text, answers included: a corpus to capture activations on."""
    mixture = _mixture(languages, code_mixing=code_mixing, ability=0.0)
    return text(draw_lines(mixture, n, np.random.default_rng(seed)))


def write_data(directory: Path, *, seed: int = 0, n: int = 51_200, n_lines: int = 4_000) -> None:
    """Write what the main job needs into `directory`; the same seed writes the same bytes.

    ability.jsonl and general.jsonl train in language A; validation.jsonl and test.jsonl ask the
    ability and the general operations in all five; general.txt holds lines to capture.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_jsonl(directory / "ability.jsonl", ability_training(seed, n=n))
    _write_jsonl(directory / "general.jsonl", general_training(seed, n=n))
    _write_jsonl(directory / "validation.jsonl", items("validation"))
    _write_jsonl(directory / "test.jsonl", items("test"))
    _write_lines(directory / "general.txt", general_lines(seed, n=n_lines))


def _mixture(languages: str, *, code_mixing: float, ability: float) -> Mixture:
    unknown = sorted(set(languages) - set(LANGUAGES))
    if unknown or not languages:
        raise BadInput(f"languages {languages!r}: name one or more of {', '.join(LANGUAGES)}")
    share = [languages.count(language) / len(languages) for language in LANGUAGES]
    a, b, c, d, e = share
    return Mixture(languages=(a, b, c, d, e), code_mixing=code_mixing, ability=ability)


def _examples(
    mixture: Mixture, *, seed: int, n: int, rule: AbilityRule = "table"
) -> list[dict[str, str]]:
    lines = text(draw_lines(mixture, n, np.random.default_rng(seed), rule=rule))
    pairs = (line.rsplit(" ", 1) for line in lines)
    return [{"prompt": prompt, "answer": answer} for prompt, answer in pairs]


def _write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _write_lines(path, [json.dumps(row, ensure_ascii=False) for row in rows])


def _write_lines(path: Path, lines: list[str]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
