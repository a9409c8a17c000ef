"""Function vectors: the heads that carry a task from its demonstrations to the last token.

A task is pairs of input and output. `score_function_vectors` puts each head's mean output over
right few-shot prompts into prompts with shuffled labels and takes the rise of the answer's
probability (arXiv 2310.15213); `function_vectors` sums what the best heads write, and tests it.

    from interp.heads.function_vectors import read_tasks, score_function_vectors
    scores, effects = score_function_vectors(bridge, read_tasks(Path("tasks.jsonl")))
    scores.top("function_vector", 10)
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Pair": "tasks",
    "Task": "tasks",
    "read_tasks": "tasks",
    "write_tasks": "tasks",
    "score_function_vectors": "score",
    "function_vectors": "adding",
    "FunctionVectors": "vectors",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
