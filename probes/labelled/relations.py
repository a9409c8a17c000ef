"""Relations of the user's: JSON files of subject-object pairs and prompts, as LRE published them.

{"name": ..., "prompt_templates": ["{} is part of", ...], "samples": [{"subject", "object"}, ...]}
(Hernandez et al. 2023, 2308.09124); other fields are passed over.
"""

import json
from pathlib import Path
from typing import Any

from interp.results.errors import BadInput
from probes.labelled.words.facts import Relation

_MAX_BYTES = 64 << 20


def read_relations(path: Path) -> tuple[Relation, ...]:
    """The relations of one .json file, or of all in a directory and its folders, by name of file.

    Raises BadInput naming the file and what it lacks.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise BadInput(f"{path} is no .json file of a relation, and no folder that holds some")
    return tuple(_read(file) for file in files)


def _read(file: Path) -> Relation:
    if file.stat().st_size > _MAX_BYTES:
        raise BadInput(f"{file} is {file.stat().st_size} bytes: no relation is that long")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file} holds a {type(content).__name__}, one relation was expected")
    name, prompts = content.get("name"), _prompts(content.get("prompt_templates"))
    facts = _facts(content.get("samples"))
    if not isinstance(name, str) or not prompts or not facts:
        raise BadInput(
            f"{file} is no relation: expected name, prompt_templates (each with one {{}}) and "
            "samples with a subject and an object each"
        )
    return Relation(name, tuple(dict.fromkeys(prompts)), tuple(dict.fromkeys(facts)))


def _prompts(value: Any) -> list[str]:
    """The prompts, or nothing where one is none."""
    listed = value if isinstance(value, list) else []
    are = all(isinstance(one, str) and one.count("{}") == 1 for one in listed)
    return listed if are else []


def _facts(value: Any) -> list[tuple[str, str]]:
    """Pairs of subject and object, or nothing where one lacks either."""
    listed = value if isinstance(value, list) else []
    facts: list[Any] = [
        (one.get("subject"), one.get("object")) for one in listed if isinstance(one, dict)
    ]
    are = all(isinstance(word, str) and word.strip() for fact in facts for word in fact)
    return facts if are and len(facts) == len(listed) else []
