"""Notebooks as they are stored: no outputs, equal to their text twin, nothing private or long."""

import ast
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_of(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_equals_its_text(notebook):
    stored = nbformat.read(notebook, as_version=4)
    nbformat.validate(stored)
    text = jupytext.read(notebook.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in stored.cells] == [
        (c.cell_type, c.source) for c in text.cells
    ], "run `jupytext --to ipynb --update-metadata '{\"jupytext\": null}'` on the .py"
    assert not [c for c in stored.cells if c.get("outputs") or c.get("execution_count")]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asserts_uses_public_names_and_no_long_function(notebook):
    tree = ast.parse(code_of(notebook))
    assert [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    private = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    ]
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 10
    ]
    assert (private, long) == ([], [])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_in_its_first_cell_and_answers_in_its_last(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    assert cells[0].source.splitlines()[0].endswith("?")
    assert "print(" in cells[-1].source
