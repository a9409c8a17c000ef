"""Data in the languages of the bundled models: labelled lines, training examples, questions."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interp.results.atomic import atomic_file
from interp.results.errors import BadInput
from probes.labelled.dataset import DataSet, Written
from probes.labelled.line import Split
from probes.polyglot.cells import items
from probes.polyglot.examples import ability_training, general_lines, general_training
from probes.polyglot.labelled import line_labels, split_lines
from probes.polyglot.languages import LANGUAGES, OPERATIONS, text
from probes.polyglot.mixtures import Mixture

Rows = Callable[[int, int], Iterable[dict[str, Any]]]
_ONE_IN = 8
_EVEN = Mixture(languages=(0.2, 0.2, 0.2, 0.2, 0.2), code_mixing=0.3, ability=0.1)


def functions_data() -> list[DataSet]:
    """What is asked of the bundled model `functions`: labels for capture, and questions."""
    from probes.functions.tasks import FUNCTIONS

    def labelled(path: Path, seed: int, n: int, file: Path | None) -> Written:
        from probes.functions.labelled import write_labelled

        _refuse_file("functions", file)
        write_labelled(path, seed=seed, n_per_function=n)
        return _counted(path)

    def questions(path: Path, seed: int, n: int, file: Path | None) -> Written:
        from probes.functions.labelled import write_items

        _refuse_file("functions-items", file)
        write_items(path, seed=seed, n_per_function=n)
        return _counted(path)

    common: dict[str, Any] = {
        "functions": FUNCTIONS,
        "source": "the tasks that the bundled model functions was trained on",
        "file": None,
        "unit": "lines a function",
    }
    return [
        DataSet(
            name="functions",
            kind="bundled model",
            question="whose answer is predicted at a word, none where no answer is",
            n=512,
            n_lines=lambda: 512 * len(FUNCTIONS),
            write=labelled,
            **common,
        ),
        DataSet(
            name="functions-items",
            kind="bundled model",
            question="the answer to a line; two splits, for `interp modules perturb`",
            n=256,
            n_lines=lambda: 2 * 256 * len(FUNCTIONS),
            write=questions,
            **common,
        ),
    ]


def polyglot_data() -> list[DataSet]:
    """Lines of polyglot with what is true at each word, as text, and as questions with answers."""
    labels = ("answer", "language", "number", "operation")
    return [
        _polyglot("labelled", "what is true at each word", 4000, _labelled, labels),
        _polyglot("lines", "nothing: general text in five languages", 4000, _lines),
        _polyglot("ability", "the answer, half of it the ability, in A", 51_200, _ability),
        _polyglot("general", "the answer of a general operation, in A", 51_200, _general),
        _polyglot("items", "the answer among choices; validation and test", None, _items),
    ]


def _polyglot(
    name: str, question: str, n: int | None, rows: Rows, functions: tuple[str, ...] = ()
) -> DataSet:
    def write(path: Path, seed: int, n: int, file: Path | None) -> Written:
        _refuse_file(f"polyglot-{name}", file)
        text = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows(seed, n))
        with atomic_file(path) as temporary:
            temporary.write_text("".join(text), encoding="utf-8")
        return _counted(path)

    return DataSet(
        name=f"polyglot-{name}",
        kind="bundled model",
        functions=functions,
        question=question,
        source="polyglot, five made-up languages that share concepts",
        file=None,
        n=n,
        unit="lines",
        n_lines=lambda: sum(1 for _ in _items(0, 0)) if n is None else n,
        write=write,
    )


def relations_data() -> list[DataSet]:
    """Documents of relations as triples, as a treebank, and the label tasks."""
    from probes.relations.grammar.words import RELATIONS
    from probes.relations.static import RELATIONS as BY_HEART

    return [
        _triples("relations", "grammar", RELATIONS),
        _triples("relations-static", "static", BY_HEART),
        _triples("relations-binding", "binding", ("owns",)),
        _relations(
            "treebank",
            "the tree of each sentence, as CoNLL-U",
            200,
            _treebank,
            _n_treebank_lines,
            functions=RELATIONS[:3],
            suffix=".conllu",
        ),
        _relations(
            "labels",
            "tasks for `interp heads icl`, as JSON",
            None,
            _tasks,
            _n_task_lines,
            suffix=".json",
        ),
    ]


def _triples(name: str, world: str, relations: tuple[str, ...]) -> DataSet:
    def write(path: Path, seed: int, n: int, file: Path | None) -> Written:
        from probes.relations import draw_documents, write_documents

        _refuse_file(name, file)
        documents = draw_documents(world, n=n, seed=seed)
        counts = Counter(f.relation for d in documents for f in d.asked for _ in f.asked)
        return Written(write_documents(path, documents), dict(sorted(counts.items())), ())

    return DataSet(
        name=name,
        kind="bundled model",
        functions=relations,
        question="the tail of a relation where the document asks; triples for `interp heads`",
        source=f"the documents that the bundled model relations/{world} was trained on",
        file=None,
        n=200,
        unit="documents",
        n_lines=lambda: 200,
        write=write,
    )


def _relations(
    name: str,
    question: str,
    n: int | None,
    write: Callable[[Path, int, int], Written],
    n_lines: Callable[[], int],
    *,
    functions: tuple[str, ...] = (),
    suffix: str,
) -> DataSet:
    def checked(path: Path, seed: int, n: int, file: Path | None) -> Written:
        _refuse_file(f"relations-{name}", file)
        return write(path, seed, n)

    return DataSet(
        name=f"relations-{name}",
        kind="bundled model",
        functions=functions,
        question=question,
        source="what the bundled model relations/grammar was trained on",
        file=None,
        n=n,
        unit="documents",
        n_lines=n_lines,
        write=checked,
        suffix=suffix,
    )


def _treebank(path: Path, seed: int, n: int) -> Written:
    from probes.relations import draw_documents
    from probes.relations.grammar.conllu import write_treebank

    n_sentences = write_treebank(path, draw_documents("grammar", n=n, seed=seed))
    return _counted(path)._replace(counts={"sentences": n_sentences})


def _n_treebank_lines() -> int:
    from probes.relations import draw_documents
    from probes.relations.grammar.conllu import treebank

    return sum(block.count("\n") for block in treebank(draw_documents("grammar", n=200, seed=0)))


def _tasks(path: Path, seed: int, n: int) -> Written:
    del seed, n  # All of them, fixed by the world.
    from probes.relations.grammar.tasks import icl_tasks, write_tasks

    write_tasks(path)
    return _counted(path)._replace(counts={"tasks": len(icl_tasks()["tasks"])})


def _n_task_lines() -> int:
    from probes.relations.grammar.tasks import icl_tasks

    return len(json.dumps(icl_tasks(), indent=2).splitlines())


def _labelled(seed: int, n: int) -> Iterator[dict[str, Any]]:
    """Lines whose label is a list with an entry a word, null where the question does not arise."""
    sides: tuple[tuple[Split, int], ...] = (("train", n - n // _ONE_IN), ("test", n // _ONE_IN))
    for split, count in sides:
        tokens = split_lines(_EVEN, n=count, seed=seed, held_out=split == "test")
        labels = line_labels(tokens)
        for i, line in enumerate(text(tokens)):
            yield {
                "text": line,
                "answer": _named(labels["answer"][i], None),
                "language": _named(labels["language"][i], LANGUAGES),
                "number": _named(labels["number"][i], None),
                "operation": _named(labels["operation"][i], OPERATIONS),
                "split": split,
            }


def _named(codes: np.ndarray, names: tuple[str, ...] | None) -> list[str | None]:
    shown = [str(code) if names is None else names[code] for code in codes.tolist()]
    return [None if code == -1 else name for code, name in zip(codes, shown, strict=True)]


def _lines(seed: int, n: int) -> Iterator[dict[str, Any]]:
    return ({"text": line} for line in general_lines(seed, n=n))


def _ability(seed: int, n: int) -> Iterable[dict[str, Any]]:
    return ability_training(seed, n=n)


def _general(seed: int, n: int) -> Iterable[dict[str, Any]]:
    return general_training(seed, n=n)


def _items(seed: int, n: int) -> Iterable[dict[str, Any]]:
    del seed, n  # All of them, fixed by the language.
    return [*items("validation"), *items("test")]


def _refuse_file(name: str, file: Path | None) -> None:
    if file is not None:
        raise BadInput(f"{name} reads no file: leave --from out")


def _counted(path: Path) -> Written:
    with path.open("rb") as file:
        return Written(sum(1 for _ in file), {}, ())
