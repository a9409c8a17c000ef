"""The figure of side effects draws what the report holds, the smallest and an empty one too."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from interp.abilities.effects.harm import harms_of
from interp.abilities.effects.side_effects import SideEffects
from interp.evaluation.answers import Answers
from interp.evaluation.evaluate import evaluation_of
from interp.evaluation.items import Item
from interp.evaluation.protocol import Protocol
from interp.plots.side_effects import side_effect_matrix
from interp.results.provenance import Provenance

NOTHING = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})


def report(*shares: float, names: tuple[str, ...], n: int = 30, language: str = "D") -> SideEffects:
    """Models right on a share of one cell, and on all of another."""
    items = [
        Item(id=f"{task}{i}", prompt="p", answer="a", task=task, language=language, split="test")
        for task in ("broken", "kept") for i in range(n)
    ]  # fmt: skip
    unknown = np.full(2 * n, np.nan)
    answers = [
        Answers(correct=(np.arange(2 * n) < share * n) | (np.arange(2 * n) >= n),
                said=("",) * 2 * n, truncated=np.zeros(2 * n, dtype=bool), margin=unknown,
                margin_per_byte=unknown)
        for share in shares
    ]  # fmt: skip
    table = evaluation_of(
        models=names, answers=answers, items=items, protocol=Protocol(), seed=0, provenance=NOTHING
    )
    return SideEffects(
        evaluation=table,
        targets=(),
        harms=harms_of(table, targets=(), rng=np.random.default_rng(0), exchanges=10),
        weights=(),
        texts=(),
        languages=(),
        notes=(),
        by_sequence={},
        provenance=NOTHING,
    )


def heat(figure: go.Figure) -> Any:
    traces: Any = figure.data
    return traces[0]


def test_every_cell_and_edit_has_its_difference_and_interval() -> None:
    one = report(1.0, 0.2, 0.9, names=("base", "first", "second"))
    square = heat(side_effect_matrix(one))
    np.testing.assert_allclose(square.z, [[-0.8, -0.1], [0.0, 0.0]], atol=1e-12)
    assert square.zmin == -square.zmax == pytest.approx(-0.8)
    test = one.effect("first", one.cell("broken/D"))
    np.testing.assert_allclose(square.customdata[0][0], [*test.difference[1:], test.p_holm, 30])
    assert "*" in square.text[0][0] and "*" not in square.text[0][1]


def test_the_target_is_marked() -> None:
    one = replace(report(1.0, 0.2, names=("base", "edit")), targets=("broken/D",))
    assert tuple(heat(side_effect_matrix(one)).y) == ("broken/D (target)", "kept/D")


def test_markup_in_names_is_drawn_as_text() -> None:
    one = report(1.0, 0.2, names=("base", "<b>edit</b>"), language="<i>")
    text = side_effect_matrix(one).to_json()
    assert "<b>edit" not in str(text) and "<i>" not in str(text)


def test_an_edit_without_effect_is_drawn() -> None:
    assert side_effect_matrix(report(1.0, 1.0, names=("base", "edit"))).to_json()
