"""Figures of modules draw what the findings hold, the smallest and an empty one too."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from interp.modules.functional import functional_experts
from interp.modules.perturbation import PerturbationResult
from interp.plots.modules import drop_matrix, experts_by_function, own_against_random
from interp.results.provenance import Provenance
from tests.modules.functional.test_functional import blocks, planted

HOSTILE = "<img src=x onerror=alert(1)>"


def a_result(n: int = 3, *, fill: float | None = None) -> PerturbationResult:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.uniform(size=shape) if fill is None else np.full(shape, fill)

    names = (HOSTILE, *(f"f{i}" for i in range(1, n)))
    return PerturbationResult(
        functions=names,
        evaluated=(*names, "text"),
        sites=("blocks.0.mlp.hook_post",),
        mode="mean",
        scale=1.0,
        chosen_by="experts",
        chosen={name: {"blocks.0.mlp.hook_post": (0,)} for name in names},
        base=drawn(2, n + 1, 3),
        drop=drawn(2, n, n + 1, 3),
        whole=drawn(2, 1, n + 1, 3),
        alternatives={"top neurons": drawn(2, n, n + 1, 3)},
        controls={name: drawn(2, 5, n) for name in ("random experts", "random neurons")},
        control_units={name: np.full(n, 4.0) for name in ("random experts", "random neurons")},
        control_mass={name: np.full(n, 4.0) for name in ("random experts", "random neurons")},
        own_minus_other=drawn(2, 3),
        own_minus_other_functions=drawn(2, n, 3),
        p_relabelled=drawn(2),
        min_p_relabelled=1 / 6,
        n_items=np.full(n + 1, 10),
        n_units=np.full(n, 4),
        mass=np.full(n, 1.0),
        units={"blocks.0.mlp.hook_post": np.ones((n, 8), bool)},
        statements=(),
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )


def traces(figure: go.Figure) -> Any:
    return figure.data


def test_the_matrix_stands_above_random_neurons_on_one_scale() -> None:
    found = a_result()
    heat = traces(drop_matrix(found, measure="accuracy"))[0]
    np.testing.assert_array_equal(np.array(heat.z)[:3], found.drop[0, :, :, 0])
    np.testing.assert_allclose(
        np.array(heat.z)[4, :3], found.controls["random neurons"][0].mean(axis=0)
    )
    assert np.isnan(np.array(heat.z)[3, 3])
    assert heat.zmin == -heat.zmax


def test_every_draw_is_shown_beside_the_functions_own() -> None:
    found = a_result()
    drawn = traces(own_against_random(found, measure="loss"))
    assert sum(len(trace.y) for trace in drawn[:2]) == 2 * 5 * 3
    np.testing.assert_array_equal(drawn[2].y, found.own("loss"))


def test_functional_experts_are_marked_and_chance_is_white() -> None:
    found = functional_experts([planted(192, 12, [2, 5], 16)], [blocks(192, 12)])
    heat = traces(experts_by_function(found))[0]
    np.testing.assert_array_equal(np.array(heat.text) == "●", found.functional()[0])
    assert heat.zmin == -heat.zmax
    assert np.array(heat.z)[0, 2] == pytest.approx(np.log2(found.enrichment()[0, 0, 2]))


@pytest.mark.parametrize("found", [a_result(1), a_result(2, fill=float("nan"))])
def test_the_smallest_and_an_empty_result_are_drawn(found: PerturbationResult) -> None:
    for figure in (drop_matrix(found, measure="loss"), own_against_random(found, measure="loss")):
        assert figure.to_json()


def test_names_from_files_are_text() -> None:
    found = functional_experts([planted(192, 12, [2, 5], 16)], [blocks(192, 12)])
    named = replace(found, functions=(HOSTILE, "f1"))
    for figure in (
        drop_matrix(a_result()),
        own_against_random(a_result()),
        experts_by_function(named),
    ):
        assert "<img" not in str(figure.to_dict())
